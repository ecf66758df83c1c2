from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lead_scoring.storage import ObjectStore, open_store
from sandbox.gcs_server.server import GcsServer

Serve = Callable[..., GcsServer]


@contextmanager
def serving(server: GcsServer) -> Generator[GcsServer, None, None]:
    server.objects.create_bucket("bucket")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Generator[GcsServer, None, None]:
    """A Cloud Storage of its own for one test, with one empty bucket named ``bucket``."""
    with serving(GcsServer()) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        yield server


@pytest.fixture(params=["local", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return open_store(tmp_path / "store")
    request.getfixturevalue("gcs")
    return open_store("gs://bucket/models")
