from __future__ import annotations

from pathlib import Path

import pytest

from lead_scoring.storage import ObjectStore, open_store


@pytest.fixture(params=["local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path / "store")
