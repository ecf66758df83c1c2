"""Synthetic tables say so, lend their last day, and never replace tables that they did not make."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pyarrow.parquet as pq
import pytest

from lab.sample import write_sample
from lead_scoring.errors import BadInput
from lead_scoring.features import SOURCE_TABLES, load_source
from lead_scoring.features.origin import synthetic_day
from lead_scoring.pipeline import Pipeline
from lead_scoring.settings import load_settings, project_home
from lead_scoring.warehouse.bigquery import BigQueryWarehouse
from lead_scoring.warehouse.embedded import EmbeddedWarehouse

LAST_DAY = dt.date(2024, 12, 21)
TODAY = dt.date(2026, 11, 28)
TABLES = list(SOURCE_TABLES)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, leads=100)
    return folder


@pytest.fixture
def own(tmp_path: Path, sample: Path) -> Path:
    """Tables that no metadata calls synthetic."""
    folder = tmp_path / "own"
    folder.mkdir()
    for table in TABLES:
        rows = pq.read_table(sample / f"{table}.parquet").replace_schema_metadata()
        pq.write_table(rows.slice(1), folder / f"{table}.parquet")
    return folder


@pytest.fixture
def lines(tmp_path: Path) -> Pipeline:
    return Pipeline(load_settings(environment={}, overrides={"warehouse.folder": str(tmp_path / "warehouse")}))


def test_synthetic_tables_lend_their_last_day_to_a_run_that_names_none(lines: Pipeline, sample: Path) -> None:
    assert lines.as_of("", TODAY, of_source=True) == TODAY - dt.timedelta(days=1)  # nothing is loaded yet
    lines.load_source(sample)
    lines.load_source(sample)
    assert lines.as_of("", TODAY, of_source=True) == LAST_DAY
    assert lines.as_of("2024-11-30", TODAY, of_source=True) == dt.date(2024, 11, 30)
    assert lines.as_of("", TODAY) == TODAY - dt.timedelta(days=1)  # of a table that somebody brings


def test_synthetic_data_never_replace_own_tables_which_are_looked_at_from_the_last_complete_day(
    lines: Pipeline, sample: Path, own: Path
) -> None:
    lines.load_source(sample)
    lines.load_source(own)  # own tables may replace synthetic ones
    assert lines.as_of("", TODAY, of_source=True) == TODAY - dt.timedelta(days=1)
    before = lines.warehouse.fingerprint(TABLES)
    with pytest.raises(BadInput, match="leads that `sample` did not make.*use another warehouse.folder.*make clean"):
        lines.load_source(sample)
    assert lines.warehouse.fingerprint(TABLES) == before


def test_one_table_that_somebody_replaced_makes_them_all_own(tmp_path: Path, sample: Path, own: Path) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "warehouse")
    load_source(warehouse, sample)
    assert synthetic_day(warehouse, TABLES) == LAST_DAY
    warehouse.replace_partition("leads", "all", [own / "leads.parquet"])
    assert synthetic_day(warehouse, TABLES) is None
    with pytest.raises(BadInput, match="synthetic data never replace them"):
        load_source(warehouse, sample)


def test_a_teams_tables_in_bigquery_are_not_replaced_by_a_sample(sample: Path) -> None:
    client = MagicMock()
    client.list_tables.return_value = [SimpleNamespace(table_id="leads")]
    warehouse = BigQueryWarehouse(
        project="p", dataset="d", location="US", timeout_seconds=7, job_timeout_seconds=60,
        sql_folder=project_home() / "include" / "sql", client=client,
    )  # fmt: skip
    with pytest.raises(BadInput, match="the warehouse has leads that `sample` did not make.*warehouse.dataset"):
        load_source(warehouse, sample)
    assert {name for name, *_ in client.method_calls} == {"list_tables"}
