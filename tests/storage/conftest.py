from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from lead_scoring.storage import ObjectStore, open_store
from sandbox.gcs_server.server import GcsServer, running


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Generator[GcsServer, None, None]:
    """A Cloud Storage of its own for one test, with one empty bucket named ``bucket``."""
    with running("bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        yield server


@pytest.fixture(params=["local", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return open_store(tmp_path / "store")
    request.getfixturevalue("gcs")
    return open_store("gs://bucket/models")
