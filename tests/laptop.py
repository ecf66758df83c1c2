"""What the tests that need a real Airflow share: the stack of ``make up`` in a folder that goes with them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from sandbox import stack
from sandbox.demo import prepare

AS_OF = stack.SAMPLE_AS_OF


@contextlib.contextmanager
def standing_laptop(folder: Path) -> Generator[stack.Stack]:
    """Every part answering, then sample data loaded, as by `make up` on a fresh clone and `make demo` after it.

    The environment is put back afterwards.
    """
    before = dict(os.environ)
    os.environ["LEAD_SCORING_STATE"] = str(folder / "state")
    os.environ["LEAD_SCORING__STORAGE__MODELS"] = str(folder / "models")
    os.environ.update(stack.environment("http://127.0.0.1:0", "", ""))
    try:
        standing = stack.up()
        prepare("")
        stack.give_leads(standing, stack.loaded_leads())
        yield standing
    finally:
        stack.down()
        os.environ.clear()
        os.environ.update(before)
