"""The 100 rows calibrate to within 0.005, in Python and in SQL."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.calibration.lookup import COLUMNS, look_up, lookup_table, measure, write_lookup
from lead_scoring.model.calibrators import FITTERS, IsotonicCalibrator, raw_to_margin, sigmoid
from lead_scoring.settings import load_settings
from lead_scoring.warehouse import open_warehouse
from lead_scoring.warehouse.sql import lint, load_sql

SETTINGS = load_settings(environment={})


@given(method=st.sampled_from(list(FITTERS)), seed=st.integers(0, 1000), n=st.integers(60, 500), base=st.floats(-4, 1))
@settings(max_examples=40, deadline=None)
def test_lookup_and_calibrator_differ_by_at_most_0_005_whatever_the_curve(
    method: str, seed: int, n: int, base: float
) -> None:
    generator = np.random.default_rng(seed)
    margin = generator.normal(0, 2, n)
    target = (generator.random(n) < sigmoid(margin + base)).astype(int)
    target[:2] = [0, 1]
    raw = sigmoid(margin)
    calibrator = FITTERS[method](margin, target)
    table = lookup_table(calibrator, raw)
    assert table.shape == (100, 4)
    found = measure(calibrator, table, raw)
    assert found["largest_difference_on_leads"] <= 0.005 + 1e-9
    assert found["largest_difference_on_grid"] <= 0.005 + 1e-9


def test_a_jump_to_one_is_not_missed() -> None:
    """100 equal bins of the raw score miss a jump inside a bin: the largest difference was 0.75."""
    jump = IsotonicCalibrator((-3.0, 2.0, 2.0000001, 3.0), (0.01, 0.02, 0.98, 0.99))
    raw = sigmoid(np.linspace(-3, 3, 1001))
    assert measure(jump, lookup_table(jump, raw), raw)["largest_difference_on_leads"] <= 0.005


def test_scores_beyond_the_table_get_the_row_at_that_end() -> None:
    calibrator = FITTERS["intercept"](np.array([-1.0, 1.0, 0.0, 0.5]), np.array([0, 1, 0, 1]))
    table = lookup_table(calibrator, np.array([0.2, 0.8]))
    assert look_up(table, np.array([0.0, 1.0])).tolist() == [table[0, 1], table[-1, 1]]


def test_rows_join_without_a_gap_and_the_file_brings_them_back(tmp_path: Path) -> None:
    margin = np.linspace(-4, 2, 300)
    target = (np.arange(300) % 7 == 0).astype(int)
    table = lookup_table(FITTERS["platt"](margin, target), sigmoid(margin))
    assert np.array_equal(table[1:, 2], table[:-1, 3])
    assert np.all(np.diff(table[:, 1]) >= 0)
    write_lookup(tmp_path / "lookup.csv", table)
    with (tmp_path / "lookup.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert np.array_equal(np.array(rows[1:], dtype=float), table)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_bigquery_statement_finds_the_same_probabilities_on_duckdb(tmp_path: Path, method: str) -> None:
    generator = np.random.default_rng(7)
    margin = generator.normal(-1, 1.5, 400)
    target = (generator.random(400) < sigmoid(margin - 1)).astype(int)
    calibrator = FITTERS[method](margin, target)
    table = lookup_table(calibrator, sigmoid(margin))
    raw = np.r_[sigmoid(margin), table[:, 2], table[-1, 3], 0.0, 1.0]  # the leads, every edge, and beyond both ends
    day = dt.date(2024, 12, 21)
    ids = [f"lead-{number:04d}" for number in range(len(raw))]
    scores = pa.table({"lead_id": ids, "as_of": [day] * len(raw), "uncalibrated_score": raw})
    pq.write_table(scores, tmp_path / "scores.parquet")
    lookup = pa.table({name: table[:, index] for index, name in enumerate(COLUMNS)})
    pq.write_table(lookup, tmp_path / "lookup.parquet")
    warehouse = open_warehouse(load_settings(environment={}, overrides={"warehouse.folder": str(tmp_path / "wh")}))
    warehouse.replace_partition("lead_scores", day.isoformat(), [tmp_path / "scores.parquet"])
    warehouse.replace_partition("calibration_lookup", "all", [tmp_path / "lookup.parquet"])
    sql = load_sql(SETTINGS.sql_folder, "calibrated_by_lookup")
    assert lint(sql) == []
    found = warehouse.query(sql, {"as_of": day})
    assert found["lead_id"].to_pylist() == ids
    assert np.array_equal(found["calibrated_probability"].to_numpy(), look_up(table, raw))
    exact = calibrator.apply(raw_to_margin(raw[:400]))
    assert np.abs(found["calibrated_probability"].to_numpy()[:400] - exact).max() <= 0.005
