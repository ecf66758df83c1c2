from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.scoring import LeadScorer, batch, score_shard
from lead_scoring.scoring.batch import REJECTED, SCORES
from lead_scoring.settings import ScoringSettings
from lead_scoring.stage import StageOutput, sha256_file

DAY = dt.date(2024, 12, 21)
RUN = "20241221-00000000"


def run(scorer: LeadScorer, shard: Path, work: Path, threads: int = 2) -> StageOutput:
    work.mkdir(exist_ok=True)
    settings = ScoringSettings(expires_after_days=7, threads=threads)
    return score_shard(scorer, shard, as_of=DAY, run_key=RUN, settings=settings, work=work)


def test_every_row_has_its_receipt(scorer: LeadScorer, shard: Path, tmp_path: Path) -> None:
    scores = pq.read_table(run(scorer, shard, tmp_path / "work").files["scores.parquet"])
    assert scores.schema.equals(SCORES)
    source = pq.read_table(shard)
    assert scores["lead_id"] == source["lead_id"]
    assert scores["feature_digest"] == source["feature_digest"]
    assert set(scores["run_key"].to_pylist()) == {RUN}
    assert set(scores["calibrator_digest"].to_pylist()) == {scorer.calibrator_digest}
    assert set(scores["expires_on"].to_pylist()) == {dt.date(2024, 12, 28)}
    assert scores.column("lead_score").null_count == 0


def test_a_shard_and_a_single_lead_get_the_same_bits(scorer: LeadScorer, shard: Path, tmp_path: Path) -> None:
    rows = pq.read_table(run(scorer, shard, tmp_path / "work").files["scores.parquet"]).to_pylist()
    leads = pq.read_table(shard).to_pylist()
    for row, lead in zip(rows, leads, strict=True):
        features = {feature.column: lead[feature.column] for feature in scorer.package.spec.features}
        single = scorer.score_lead(features)
        assert single.pop("manifest_digest") == scorer.manifest_digest  # not in the table: model_version leads to it
        assert {name: row[name] for name in single} == single


def test_threads_and_batches_do_not_change_a_byte(
    scorer: LeadScorer, shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = run(scorer, shards[2], tmp_path / "once", threads=1)
    again = run(scorer, shards[2], tmp_path / "again", threads=3)
    assert {name: sha256_file(path) for name, path in once.files.items()} == {
        name: sha256_file(path) for name, path in again.files.items()
    }
    monkeypatch.setattr(batch, "BATCH_ROWS", 7)
    pieces = run(scorer, shards[2], tmp_path / "pieces", threads=2)
    for name in once.files:
        assert pq.read_table(pieces.files[name]) == pq.read_table(once.files[name])


def test_rows_that_cannot_be_scored_are_kept_with_every_reason(
    scorer: LeadScorer, shard_factory: Callable[..., Path], tmp_path: Path
) -> None:
    shard = shard_factory(rows=20, seed=9, name="bad", bad_rows=2)
    table = pq.read_table(shard).to_pydict()
    table["days_in_gap"][1] = None
    table["lead_id"][1] = None
    pq.write_table(pa.table(table, schema=pq.read_schema(shard)), shard)
    output = run(scorer, shard, tmp_path / "work")
    rejected = pq.read_table(output.files["rejected.parquet"])
    assert output.counts == {"in": 20, "scored": 18, "rejected": 2}
    assert rejected.schema.equals(REJECTED)
    assert rejected["reasons"].to_pylist() == [
        "feature 'pit_moves_3yr' is -1.0, below its minimum 0.0",
        "lead_id is missing; feature 'days_in_gap' is nan but may not be missing; "
        "feature 'pit_moves_3yr' is -1.0, below its minimum 0.0",
    ]


def test_an_empty_shard_gives_empty_files(
    scorer: LeadScorer, shard_factory: Callable[..., Path], tmp_path: Path
) -> None:
    output = run(scorer, shard_factory(rows=0, seed=1, name="empty"), tmp_path / "work")
    assert output.counts == {"in": 0, "scored": 0, "rejected": 0}
    assert pq.read_table(output.files["scores.parquet"]).schema.equals(SCORES)


def test_a_shard_that_is_none_is_refused_by_name(scorer: LeadScorer, shard: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone.parquet does not exist"):
        run(scorer, tmp_path / "gone.parquet", tmp_path / "work")
    (tmp_path / "text.parquet").write_text("not parquet at all")
    with pytest.raises(BadInput, match="is not Parquet"):
        run(scorer, tmp_path / "text.parquet", tmp_path / "work")
    half = tmp_path / "half.parquet"
    half.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(BadInput, match="is not Parquet"):
        run(scorer, half, tmp_path / "work")
    pq.write_table(pq.read_table(shard).drop_columns(["feature_digest"]), half)
    with pytest.raises(BadInput, match="no column 'feature_digest'"):
        run(scorer, half, tmp_path / "work")
    pq.write_table(pq.read_table(shard).drop_columns(["days_in_gap"]), half)
    with pytest.raises(BadInput, match="no column 'days_in_gap'"):
        run(scorer, half, tmp_path / "work")


def test_only_a_few_batches_are_in_memory_at_once(
    scorer: LeadScorer, shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_ROWS", 4)
    source = pq.ParquetFile(shard)
    job = batch._ShardJob(scorer, source.schema_arrow, DAY, RUN, 7)
    taken = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal taken
        for piece in batch.stream(source, job.read):
            taken += 1
            yield piece

    for given, _ in enumerate(batch._ordered(job, counted(), threads=2)):
        assert taken - given <= 3
    assert taken == 25
