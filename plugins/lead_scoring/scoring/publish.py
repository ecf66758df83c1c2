"""Write, audit, publish: the day's scores become visible once, as a whole, or not at all.

Write: the shards of scores go to ``lead_scores_staging``, in a partition of this run. Audit: one query over what was
written, against the keys that were to be scored. Publish: yesterday's score and the trend are joined on, the leads
are ranked, and the day's partition of ``lead_scores`` is replaced in one step. A retry does all of it again and ends
with the same bytes. Then the staging partitions go; those of a run that the audit refused stay to be looked at, until
``lead-scoring tidy``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.model.buckets import BUCKETS
from lead_scoring.settings import Settings
from lead_scoring.stage import StageOutput
from lead_scoring.warehouse import PartitionInfo, Warehouse
from lead_scoring.warehouse.definitions import table_schema
from lead_scoring.warehouse.sql import load_sql

TABLE = "lead_scores"
REJECTED_TABLE = "lead_scores_rejected"
STAGING = "lead_scores_staging"
REJECTED_STAGING = "lead_scores_rejected_staging"
EXPECTED_STAGING = "lead_scores_expected_staging"
STAGING_TABLES = (STAGING, REJECTED_STAGING, EXPECTED_STAGING)  # a partition each run, until it is published
EXPECTED = table_schema(EXPECTED_STAGING)
PUBLISHED = table_schema(TABLE)
BEFORE_ALL = "1970-01-01"  # an empty first partition, so that the join with yesterday has a table on the first day


def audit_scores(
    warehouse: Warehouse,
    *,
    as_of: dt.date,
    shards: Sequence[Path],
    rejected: Sequence[Path],
    expected: Sequence[Path],
    version: str,
    run_key: str,
    settings: Settings,
    work: Path,
) -> StageOutput:
    """Write the run's scores aside, check them, and make the files that :func:`publish_partition` puts in place.

    :param shards: the ``scores.parquet`` of every shard. :param rejected: the ``rejected.parquet`` of every shard.
    :param expected: the feature shards that were scored: the row count and the key set come from them.
    :param version: the one version that every row must name.
    :returns: files ``scores/00000.parquet``, ... ordered by ``lead_id``, and ``rejected.parquet``; counts ``in`` =
        ``scored`` + ``rejected``, ``new``, ``up``, ``down``, ``same``; figures ``buckets`` {label: leads}, ``previous``
    :raises CheckFailed: the audit said no; the message lists every finding. Nothing was published.
    """
    _check_files(shards, table_schema(STAGING), "scores")
    _check_files(rejected, table_schema(REJECTED_STAGING), "rejected rows")
    warehouse.replace_partition(STAGING, run_key, shards)
    warehouse.replace_partition(REJECTED_STAGING, run_key, rejected)
    warehouse.replace_partition(EXPECTED_STAGING, run_key, [_keys(expected, run_key, work / "expected.parquet")])
    _ensure_published_table(warehouse, work)
    sql = settings.sql_folder
    found = warehouse.query(
        load_sql(sql, "lead_scores_audit"), {"run_key": run_key, "version": version, "as_of": as_of}
    )
    facts = {name: int(value) for name, value in found.to_pylist()[0].items()}
    if findings := _findings(facts, settings, run_key):
        raise CheckFailed(f"the scores of {as_of} (run {run_key}) were not published: {'; '.join(findings)}")
    previous = newest_scores(warehouse, as_of)  # a run of an older day compares with what was known then
    parts = warehouse.export(
        load_sql(sql, "lead_scores"),
        {"run_key": run_key, "previous": previous or dt.date.fromisoformat(BEFORE_ALL)},
        work / "scores",
        settings.features.rows_per_shard,
    )
    set_aside = warehouse.export(
        load_sql(sql, "lead_scores_rejected"), {"run_key": run_key}, work / "rejected", 1 << 40
    )
    counts = {"in": facts["expected"], "scored": facts["scored"], "rejected": facts["rejected"]}
    trends = _trends(parts)
    if sum(trends.values()) != facts["scored"]:
        raise CheckFailed(
            f"joining the scores of {as_of} with those of {previous} gave {sum(trends.values())} rows for "
            f"{facts['scored']} scores; partition {previous} of {TABLE} holds a lead twice: publish that day again"
        )
    return StageOutput(
        files={f"scores/{number:05d}.parquet": path for number, path in enumerate(parts)}
        | {"rejected.parquet": set_aside[0]},
        counts=counts | trends,
        figures={
            "buckets": {label: facts[_column(label)] for label in BUCKETS},
            "previous": previous.isoformat() if previous else None,
            "version": version,
            "run_key": run_key,
        },
    )


def publish_partition(
    warehouse: Warehouse, as_of: dt.date, score_files: Sequence[Path], rejected_file: Path
) -> PartitionInfo:
    """Replace the day's partition. The rejected rows come first, so the scores, which others wait for, come last."""
    warehouse.replace_partition(REJECTED_TABLE, as_of.isoformat(), [rejected_file])
    return warehouse.replace_partition(TABLE, as_of.isoformat(), score_files)


def drop_staging(warehouse: Warehouse, run_key: str) -> None:
    """Drop what :func:`audit_scores` wrote aside: the run is published."""
    for table in STAGING_TABLES:
        warehouse.drop_partition(table, run_key)


def _findings(facts: dict[str, int], settings: Settings, run_key: str) -> list[str]:
    """What the audit query found wrong, each with its figure."""
    scored, expected, set_aside = facts["scored"], facts["expected"], facts["rejected"]
    findings = []
    if scored + set_aside != expected:
        findings.append(f"{expected} leads were to be scored, {scored} were and {set_aside} were set aside")
    problems = {
        "missing": "leads are neither scored nor set aside",
        "unexpected": "rows are of leads that were not to be scored",
        "scored_twice": "rows repeat a lead_id",
        "set_aside_twice": "rejected rows repeat a lead_id",
        "scored_and_set_aside": "leads are both scored and set aside",
        "other_version": "rows are of another version",
        "other_day": "rows are of another as_of",
        "out_of_range": "rows have a score, margin or percentile out of range",
        "without_receipt": "rows lack a part of their receipt",
    }
    findings += [f"{facts[name]} {text}" for name, text in problems.items() if facts[name]]
    share = settings.features.max_rejected_share
    if expected and set_aside > share * expected:
        findings.append(
            f"{set_aside} of {expected} leads were set aside, more than features.max_rejected_share={share}"
        )
    largest = max(BUCKETS, key=lambda label: facts[_column(label)])
    limit = settings.buckets.max_share_in_one
    degenerate = scored and facts[_column(largest)] > limit * scored
    if degenerate and settings.buckets.on_degenerate == "refuse":
        findings.append(
            f"{facts[_column(largest)]} of {scored} leads are {largest}, more than buckets.max_share_in_one={limit}; "
            "package the model with another bucket policy, or set buckets.on_degenerate to warn"
        )
    if not expected:
        findings.append(f"run {run_key} had no lead to score; check the features of the day")
    return findings


def _column(label: str) -> str:
    return f"bucket_{label.lower().replace(' ', '_')}"


def _check_files(files: Sequence[Path], schema: pa.Schema, what: str) -> None:
    if not files:
        raise BadInput(f"no file of {what} was given; batch_score makes one for each shard")
    for path in files:
        if missing := set(schema.names) - set(pq.read_schema(path).names):
            raise BadInput(f"file {path} of {what} has no column {sorted(missing)[0]!r}; score the shard again")


def _keys(expected: Sequence[Path], run_key: str, out: Path) -> Path:
    """The keys that were to be scored, from the shards themselves."""
    with pq.ParquetWriter(out, EXPECTED, use_dictionary=["run_key"], store_schema=False) as writer:
        for shard in expected:
            for batch in pq.ParquetFile(shard).iter_batches(columns=["lead_id"]):
                ids = batch.column("lead_id").cast(pa.string())
                writer.write_batch(pa.record_batch([ids, pa.repeat(run_key, batch.num_rows)], schema=EXPECTED))
    return out


def _ensure_published_table(warehouse: Warehouse, work: Path) -> None:
    if TABLE not in warehouse.tables():
        empty = work / "empty.parquet"
        pq.write_table(PUBLISHED.empty_table(), empty)
        warehouse.replace_partition(TABLE, BEFORE_ALL, [empty])


def newest_scores(warehouse: Warehouse, before: dt.date = dt.date.max) -> dt.date | None:
    """The last day before this one that has published scores. Looks at days from the newest on until one has rows."""
    if TABLE not in warehouse.tables():
        return None
    days = [day for day in warehouse.partitions(TABLE, key="as_of") if day < before.isoformat()]
    for day in sorted(days, reverse=True):
        info = warehouse.partition(TABLE, day)
        if info is not None and info.rows:
            return dt.date.fromisoformat(day)
    return None


def _trends(parts: Sequence[Path]) -> dict[str, int]:
    counts = dict.fromkeys(("new", "up", "down", "same"), 0)
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(columns=["trend"]):
            for entry in batch.column("trend").value_counts().to_pylist():
                counts[entry["values"]] += entry["counts"]
    return counts
