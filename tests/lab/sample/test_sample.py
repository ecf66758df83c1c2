from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.sample import write_sample
from lead_scoring.errors import BadInput
from lead_scoring.lead_ids import valid_lead_ids
from lead_scoring.stage import sha256_file

TABLES = {"leads.parquet", "employment_history.parquet", "firm_snapshots.parquet"}


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_sample(tmp_path / "a", 300, 3), write_sample(tmp_path / "b", 300, 3)
    assert set(first.files) == TABLES
    for name in TABLES:
        assert sha256_file(first.files[name]) == sha256_file(second.files[name])
    other = write_sample(tmp_path / "c", 300, 4)
    assert sha256_file(other.files["leads.parquet"]) != sha256_file(first.files["leads.parquet"])


def test_every_file_says_that_it_is_synthetic(tmp_path: Path) -> None:
    output = write_sample(tmp_path, 300)
    for path in output.files.values():
        assert b"synthetic" in pq.read_schema(path).metadata[b"note"]
    assert "synthetic" in output.figures["note"]


def test_clean_lead_ids_carry_their_checksum(tmp_path: Path) -> None:
    output = write_sample(tmp_path, 300, dirty=False)
    ids = pq.read_table(output.files["leads.parquet"]).column("lead_id").to_pylist()
    assert valid_lead_ids(ids).all()
    assert len(set(ids)) == 300


def test_the_base_rate_is_about_four_percent(tmp_path: Path) -> None:
    output = write_sample(tmp_path, 4000)
    assert 0.03 < output.counts["conversions"] / (4000 * 0.8) < 0.053


def test_too_few_leads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 100"):
        write_sample(tmp_path, 10)
