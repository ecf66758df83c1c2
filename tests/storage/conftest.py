from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from lead_scoring.storage import ObjectStore, open_store
from lead_scoring.storage.below import Below
from sandbox.gcs_server.server import GcsServer, running


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Generator[GcsServer, None, None]:
    """A Cloud Storage of its own for one test, with one empty bucket named ``bucket``."""
    with running("bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        yield server


@pytest.fixture(params=["local", "gcs", "below"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return open_store(tmp_path / "store")
    if request.param == "below":
        whole = open_store(tmp_path / "store")
        whole.write("beside/a", b"of somebody else")
        return Below(whole, "models")
    request.getfixturevalue("gcs")
    return open_store("gs://bucket/models")
