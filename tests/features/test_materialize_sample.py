from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lead_scoring.catalog import FeatureSet, row_digests
from lead_scoring.features import publish_features
from lead_scoring.stage import sha256_file
from lead_scoring.warehouse.embedded import EmbeddedWarehouse


def test_rows_in_are_rows_out_plus_rows_rejected(build: Any, sample_warehouse: EmbeddedWarehouse) -> None:
    output = build(sample_warehouse)
    counts = output.counts
    assert counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]
    assert counts["rows_out"] == counts["train_rows"] + counts["score_rows"]
    assert counts["rows_rejected"] > 0
    rejected = pq.read_table(output.files["rejected.parquet"])
    by_table = rejected.column("source_table").to_pylist()
    assert by_table.count("leads") == counts["rows_rejected"]
    assert len(by_table) - by_table.count("leads") == counts["source_records_rejected"]
    assert all(reason for reason in rejected.column("reasons").to_pylist())


def test_equal_inputs_give_equal_bytes(build: Any, sample_warehouse: EmbeddedWarehouse) -> None:
    first, second = build(sample_warehouse), build(sample_warehouse)
    assert {name: sha256_file(path) for name, path in first.files.items()} == {
        name: sha256_file(path) for name, path in second.files.items()
    }


def test_the_daily_run_has_the_same_rows_to_score(build: Any, sample_warehouse: EmbeddedWarehouse) -> None:
    whole, daily = build(sample_warehouse), build(sample_warehouse, scorable_only=True)
    assert not [name for name in daily.files if "train" in name]
    name = "shards/score-00000.parquet"
    assert sha256_file(whole.files[name]) == sha256_file(daily.files[name])


def test_a_row_digest_can_be_recomputed_from_the_row(
    build: Any, sample_warehouse: EmbeddedWarehouse, phase6: FeatureSet
) -> None:
    rows = pq.read_table(build(sample_warehouse).files["shards/score-00000.parquet"])
    assert rows.column("feature_digest").to_pylist() == row_digests(phase6, rows)


def test_a_published_day_is_one_partition_and_is_replaced(
    build: Any, sample_warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    output = build(sample_warehouse)
    shards = [path for name, path in sorted(output.files.items()) if name.startswith("shards/")]
    warehouse = EmbeddedWarehouse(tmp_path / "published")
    day = dt.date(2024, 12, 21)
    first = publish_features(warehouse, day, shards, output.files["rejected.parquet"])
    again = publish_features(warehouse, day, shards, output.files["rejected.parquet"])
    assert first == again
    assert warehouse.partitions("lead_features") == ["2024-12-21"]
    sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT CONCAT(lead_id, CAST(scorable AS STRING))) AS keys FROM lead_features"
    row = warehouse.query(sql).to_pylist()[0]
    assert row["n"] == row["keys"] == output.counts["rows_out"]
