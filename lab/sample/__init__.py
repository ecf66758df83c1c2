"""Synthetic raw tables: leads, employment history and firm snapshots, with everything real data are troubled by.

Nothing in them is real. The effects have the directions and sizes that were measured on real leads.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.sample.write import write_sample

__all__ = ["write_sample"]


def __getattr__(name: str) -> Any:
    if name != "write_sample":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.write").write_sample
