"""A packaged model, a scorer over it, and shards of leads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.scoring import LeadScorer
from tests.scoring.small_package import as_lead, build_package, random_matrix, write_registry, write_shard


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``models/`` with one registered version. Shared: never written to by a test."""
    folder = tmp_path_factory.mktemp("models")
    write_registry(folder, build_package(folder / "production"))
    return folder


@pytest.fixture(scope="session")
def scorer(models: Path) -> LeadScorer:
    return LeadScorer(model_dir=str(models / "production"))


@pytest.fixture
def lead() -> dict[str, float | None]:
    return as_lead(random_matrix(1, seed=8)[0]) | {"firm_aum_pit": 4.2e10, "aum_growth_since_jan2024_pct": 3.5}


@pytest.fixture
def own_models(tmp_path: Path, models: Path) -> Path:
    """A copy of ``models/`` that a test may damage."""
    return Path(shutil.copytree(models, tmp_path / "models"))


@pytest.fixture
def shard_factory(tmp_path: Path) -> Callable[..., Path]:
    def make(rows: int, seed: int, name: str, **changes: Any) -> Path:
        return write_shard(tmp_path / f"{name}.parquet", rows, seed, **changes)

    return make


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_shard(tmp_path / "score-00000.parquet", 100, 3)


@pytest.fixture
def shards(tmp_path: Path, shard: Path) -> list[Path]:
    """Three shards of 100 leads; the last has four that cannot be scored."""
    second = write_shard(tmp_path / "score-00001.parquet", 100, 4, start=100)
    third = write_shard(tmp_path / "score-00002.parquet", 100, 5, start=200)
    table = pq.read_table(third).to_pydict()
    table["days_in_gap"][0] = float("inf")
    table["days_in_gap"][1] = float("nan")
    table["pit_moves_3yr"][2] = -2.0
    table["lead_id"][3] = None
    pq.write_table(pa.table(table, schema=pq.read_schema(third)), third)
    return [shard, second, third]
