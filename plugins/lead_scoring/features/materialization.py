"""Compute the feature rows of one day from the source tables, check them and write them as shards."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.features.contract import clip, contract_reasons, lead_id_reasons, merge
from lead_scoring.features.rows import RowSink, row_schema, with_clipped
from lead_scoring.features.sources import SOURCE_TABLES, check_sources
from lead_scoring.settings import FeatureSettings
from lead_scoring.stage import StageOutput
from lead_scoring.warehouse import SqlValue, Warehouse
from lead_scoring.warehouse.sql import load_sql

_RAW_ROWS_PER_FILE = 1_048_576
_BATCH_ROWS = 131_072


def materialize(
    warehouse: Warehouse,
    *,
    as_of: dt.date,
    feature_set: FeatureSet,
    settings: FeatureSettings,
    sql_folder: Path,
    work: Path,
    scorable_only: bool = False,
) -> StageOutput:
    """Feature rows as of a day: labelled leads as they were at their contact, open leads as they are.

    :param as_of: only records made by the end of this day (UTC) are read.
    :param scorable_only: leave the training rows out (the daily run).
    :return: ``shards/train-*.parquet`` (target set), ``shards/score-*.parquet``, ``rejected.parquet``.
    :raises BadInput: a table, column or type is wrong, nothing is known by ``as_of``, or a feature needs
        ``recorded_at`` and the source has none.
    :raises CheckFailed: more rows were set aside than ``features.max_rejected_share`` allows.
    """
    check_sources(warehouse)
    parameters = query_parameters(warehouse, sql_folder, as_of=as_of, settings=settings, scorable_only=scorable_only)
    refuse_undated(feature_set, dated=bool(parameters["employment_dated"]))
    leads = warehouse.query(load_sql(sql_folder, "lead_counts"), parameters).to_pylist()[0]
    if leads["leads"] == 0:
        raise BadInput(f"table 'leads' has no lead recorded by {as_of}; choose a later as_of or load the source")
    asked = leads["score_rows_asked"] + (0 if scorable_only else leads["train_rows_asked"])

    sink = RowSink(work, as_of=as_of, feature_set=feature_set, rows_per_shard=settings.rows_per_shard)
    text = load_sql(sql_folder, "lead_features")
    for part in warehouse.export(text, parameters, work / "computed", _RAW_ROWS_PER_FILE):
        for batch in pq.ParquetFile(part).iter_batches(_BATCH_ROWS):
            add_computed(sink, pa.Table.from_batches([batch]), feature_set)
        part.unlink()
    if sink.rows_in != asked:
        raise CheckFailed(f"{asked} feature rows were asked for and {sink.rows_in} came back; the query loses rows")
    records = {table: row["records"] for table, row in source_sizes(warehouse, sql_folder).items()}
    aside = sink.add_source_rejects(warehouse.query(load_sql(sql_folder, "lead_features_rejected"), parameters))
    files = sink.close(with_train=not scorable_only)
    sink.check_share(settings.max_rejected_share)
    for table, count in aside.items():
        if count > settings.max_rejected_share * records[table]:
            raise CheckFailed(
                f"{count} of {records[table]} records of {table} were set aside, more than "
                f"features.max_rejected_share = {settings.max_rejected_share:g}; the first reasons: "
                f"{list(sink.reasons_by_count().items())[:3]}"
            )
    return StageOutput(
        files=files,
        counts={
            "leads": leads["leads"],
            "rows_in": sink.rows_in,
            "rows_out": sink.train_rows + sink.score_rows,
            "rows_rejected": sink.rows_rejected,
            "train_rows": sink.train_rows,
            "train_positives": sink.train_positives,
            "score_rows": sink.score_rows,
            "censored": leads["censored"],
            "closed": leads["closed"],
            "recycled": leads["recycled"],
            "open_twins": leads["open_twins"],
            "source_records_rejected": sum(aside.values()),
        },
        figures={
            "source": "warehouse",
            "dated": True,
            "has_ids": True,
            "feature_set": feature_set.name,
            "feature_set_digest": feature_set.digest,
            "rejected_by_reason": sink.reasons_by_count(),
            "clipped_by_feature": dict(sorted(sink.clipped.items())),
            "source_records": records,
            "recorded_at": {
                table: bool(parameters[name])
                for table, name in zip(
                    SOURCE_TABLES, ("leads_dated", "employment_dated", "snapshots_dated"), strict=True
                )
            },
        },
    )


def end_of_day(day: dt.date) -> dt.datetime:
    """The last microsecond of a day, UTC: what was recorded by then is known as of the day."""
    return dt.datetime.combine(day, dt.time.max, tzinfo=dt.UTC)


def source_sizes(warehouse: Warehouse, sql_folder: Path) -> dict[str, dict[str, int]]:
    """Records of each source table and how many of them say when they were recorded."""
    sizes = {row.pop("source_table"): row for row in warehouse.query(load_sql(sql_folder, "source_sizes")).to_pylist()}
    for table, size in sizes.items():
        if size["records"] == 0:
            raise BadInput(f"table {table!r} has no rows; load the source")
    return sizes


def query_parameters(
    warehouse: Warehouse,
    sql_folder: Path,
    *,
    as_of: dt.date,
    settings: FeatureSettings,
    scorable_only: bool = False,
    honour_recorded_at: bool = True,
) -> dict[str, SqlValue]:
    """The parameters of every query in ``include/sql`` that computes features."""
    sizes = source_sizes(warehouse, sql_folder)
    return {
        "as_of": as_of,
        "known_by": end_of_day(as_of),
        "label_window_days": settings.label_window_days,
        "one_open_lead": settings.open_leads_of_an_advisor == "newest",
        "scorable_only": scorable_only,
        "honour_recorded_at": honour_recorded_at,
        "leads_dated": sizes["leads"]["dated"] > 0,
        "employment_dated": sizes["employment_history"]["dated"] > 0,
        "snapshots_dated": sizes["firm_snapshots"]["dated"] > 0,
    }


def refuse_undated(feature_set: FeatureSet, *, dated: bool) -> None:
    """:raises BadInput: the source does not say when it came to know its jobs, and a feature needs that."""
    if dated:
        return
    if needing := [feature.name for feature in feature_set.features if feature.needs_recorded_at]:
        raise BadInput(
            f"table 'employment_history' has no recorded_at, so the past values of {needing} would know the future; "
            "load the times of recording, or use a feature set without them (undated)"
        )


def add_computed(sink: RowSink, table: pa.Table, feature_set: FeatureSet) -> None:
    """Check one batch of computed rows and hand it on."""
    texts = table.column("problems").to_pylist()
    problems = {place: text.rstrip("; ") for place, text in enumerate(texts) if text}
    if missing := [name for name in feature_set.columns if name not in table.column_names]:
        raise BadInput(
            f"feature set {feature_set.name!r} has {missing}, which include/sql/lead_features/query.sql does not "
            "compute; add them there, or bring a ready feature table (features=)"
        )
    frame = table.select(feature_set.columns).to_pandas()
    table = with_clipped(table, frame, clip(frame, feature_set))
    # a row that could not be computed has no values: "is missing" for each of them would hide the reason
    values = {place: text for place, text in contract_reasons(frame, feature_set).items() if place not in problems}
    lead_ids = lead_id_reasons(table.column("lead_id").to_pylist())
    sink.add(table.select(row_schema(feature_set).names), merge([lead_ids, problems, values]))
