"""Bring a ready feature table: no materialization, the same contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lead_scoring.catalog import FeatureSet, FeatureSpec
from lead_scoring.errors import BadInput
from lead_scoring.features.contract import Reasons, clip, contract_reasons, encode, lead_id_reasons, marked, merge
from lead_scoring.features.rows import RowSink, row_schema
from lead_scoring.settings import FeatureSettings, WarehouseSettings
from lead_scoring.stage import StageOutput
from lead_scoring.tables import Column, OpenTable, take
from lead_scoring.warehouse import embedded_engine

_BATCH_ROWS = 131_072
# Salesforce began in 1999. Before it lie what programs write for no date: 1970-01-01, 1900-01-01, 1899-12-30.
_NO_CONTACT_BEFORE = dt.date(1999, 1, 1)


def bring(
    table: OpenTable,
    *,
    as_of: dt.date,
    feature_set: FeatureSet,
    settings: FeatureSettings,
    work: Path,
    maps: Mapping[str, str] | None = None,
    with_target: bool = True,
    limits: WarehouseSettings | None = None,
) -> StageOutput:
    """Check a feature table and cut it into shards.

    Columns: every feature under its model name or its warehouse name; ``target`` (0, 1 or missing), ``lead_id`` and
    ``contacted_at`` if there are any. Without ``lead_id`` the rows are numbered ``row-0000001``. A row with a target
    gives a training row; every row gives a row to score. A table that :func:`materialize` made has ``pit_date`` and
    ``scorable`` as well: only its scorable rows give a row to score. Rows of a lead that agree in every column that is
    read count once: an export run twice is no second lead.

    :param maps: name in the table to the column that it is; an empty one: not read.
    :param limits: of the engine that sorts the rows, its memory above all.
    :param with_target: False does not read it: the leads are to be scored.
    :raises BadInput: no rows; a column is missing, there twice, only alike, or holds what it cannot hold.
    :raises CheckFailed: more rows were set aside than ``features.max_rejected_share`` allows.
    """
    wanted = [Column(feature.column, _kind(feature, table), also=(feature.name,)) for feature in feature_set.features]
    names = {(maps or {}).get(name, name) for name in table.names}
    contact = "pit_date" if "pit_date" in names and "contacted_at" not in names else "contacted_at"
    wanted += [
        Column("lead_id", "lead_id", required=False),
        Column(contact, "day" if contact == "pit_date" else "time", required=False),
        Column("scorable", "bool", required=False),
        Column("clipped", "text", required=False, matters=False),
        Column("advisor_crd", "crd_text", required=False, matters=False),
    ]
    outcome = "text" if feature_set.positive and "target" not in names else "flag"
    also = (feature_set.target,) if feature_set.target and feature_set.target != "target" else ()
    wanted += [Column("target", outcome, also=also, required=False)] if with_target else []
    needs = f"feature set {feature_set.name} needs {', '.join(feature_set.names)}"
    taken = take(table, wanted, work / "taken.parquet", called="feature table", maps=maps, needs=needs)
    if taken.rows == 0:
        raise BadInput(f"feature table {table.label} has no rows")
    has_ids, has_target, has_scorable = (name in taken.found for name in ("lead_id", "target", "scorable"))
    has_contact = contact in taken.found

    engine = embedded_engine(work / "brought", limits)
    engine.replace_partition("brought", "all", [taken.path])
    parts = [*feature_set.columns, *(["target"] if has_target else []), *(["scorable"] if has_scorable else [])]
    parts += [name for name in ("clipped", "advisor_crd") if name in taken.found]
    parts += [f"DATE({contact}) AS pit_date"] if has_contact else []
    sql = f"SELECT {', '.join(parts)} FROM brought"
    if has_ids:
        key = "lead_id, scorable" if has_scorable else "lead_id"
        sql = f"SELECT DISTINCT lead_id, {', '.join(parts)} FROM brought"
        named = ", ".join(part.rpartition(" ")[2] for part in parts)
        sql = (
            f"SELECT lead_id, {named}, COUNT(*) OVER (PARTITION BY {key}) AS copies FROM ({sql}) AS once ORDER BY {key}"
        )

    sink = RowSink(work, as_of=as_of, feature_set=feature_set, rows_per_shard=settings.rows_per_shard)
    rows = dated = 0
    for part in engine.export(sql, {}, work / "computed", 1_048_576):
        for batch in pq.ParquetFile(part).iter_batches(_BATCH_ROWS):
            arrow = pa.Table.from_batches([batch])
            dated += arrow.num_rows - arrow.column("pit_date").null_count if has_contact else 0
            _add(sink, arrow, feature_set, first_row=rows, as_of=as_of)
            rows += arrow.num_rows
    files = sink.close(with_train=has_target)
    sink.check_share(settings.max_rejected_share)
    return StageOutput(
        files=files,
        counts={
            "leads": rows,
            "rows_in": rows,
            "rows_repeated": taken.rows - rows,
            "rows_out": rows - sink.rows_rejected,
            "rows_rejected": sink.rows_rejected,
            "train_rows": sink.train_rows,
            "train_positives": sink.train_positives,
            "score_rows": sink.score_rows,
            "censored": 0,
        },
        figures={
            "source": "table",
            "dated": dated == rows,
            "has_ids": has_ids,
            "feature_set": feature_set.name,
            "feature_set_digest": feature_set.digest,
            "rejected_by_reason": sink.reasons_by_count(),
            "maps": dict(maps or {}),
            "clipped_by_feature": dict(sorted(sink.clipped.items())),
        },
    )


def _kind(feature: FeatureSpec, table: OpenTable) -> str:
    """Categories are texts, or their codes in a table that was made here."""
    name = next((name for name in (feature.column, feature.name) if name in table.names), None)
    if not feature.categories or name is None:
        return "number" if not feature.categories else "text"
    return "text" if any(isinstance(value, str) for value in table.sample(name)) else "number"


def _outcome(values: pa.ChunkedArray, feature_set: FeatureSet) -> npt.NDArray[np.float64]:
    """0, 1 and NaN: of texts, 1 is the one that the feature set calls positive."""
    if not pa.types.is_string(values.type):
        return values.to_numpy()
    return pc.equal(values, feature_set.positive).cast(pa.float64()).to_numpy()


def _add(sink: RowSink, table: pa.Table, feature_set: FeatureSet, *, first_row: int, as_of: dt.date) -> None:
    count, names = table.num_rows, set(table.column_names)
    reasons: list[Reasons] = []
    if "lead_id" in names:
        lead_ids = table.column("lead_id")
        reasons.append(lead_id_reasons(lead_ids.to_pylist()))
        reasons.append(marked(table.column("copies").to_numpy() > 1, "duplicate lead"))
    else:
        lead_ids = pa.array([f"row-{first_row + place + 1:07d}" for place in range(count)])
    pit = table.column("pit_date") if "pit_date" in names else pa.nulls(count, pa.date32())
    late = pc.fill_null(pc.greater(pit, pa.scalar(as_of, pa.date32())), False)
    reasons.append(marked(late.to_numpy(zero_copy_only=False), "contact date lies after as_of"))
    early = pc.fill_null(pc.less(pit, pa.scalar(_NO_CONTACT_BEFORE, pa.date32())), False)
    reasons.append(marked(early.to_numpy(zero_copy_only=False), f"contact date lies before {_NO_CONTACT_BEFORE}"))
    target = _outcome(table.column("target"), feature_set) if "target" in names else np.full(count, np.nan)
    odd = ~np.isnan(target) & (target != 0) & (target != 1)
    reasons.append({int(place): f"target is {target[place]:g}, not 0 or 1" for place in np.flatnonzero(odd)})
    frame = table.select(feature_set.columns).to_pandas()
    reasons.append(encode(frame, feature_set))
    frame = frame.astype("float64")
    flags = pa.array(clip(frame, feature_set), pa.string())
    if "clipped" in names:  # a table that was made here is clipped already
        flags = pc.coalesce(table.column("clipped").combine_chunks().cast(pa.string()), flags)
    reasons.append(contract_reasons(frame, feature_set))
    columns = {
        "lead_id": lead_ids,
        "pit_date": pit,
        "target": pa.array(np.where(odd, np.nan, target), from_pandas=True).cast(pa.int64()),
        "scorable": pc.fill_null(table.column("scorable"), False)
        if "scorable" in names
        else pa.array(np.ones(count, dtype=bool)),
        "clipped": flags,
        "advisor_crd": table.column("advisor_crd") if "advisor_crd" in names else pa.nulls(count, pa.string()),
    }
    columns |= {column: pa.array(frame[column].to_numpy()) for column in feature_set.columns}
    schema = row_schema(feature_set)
    sink.add_brought(pa.table([columns[name] for name in schema.names], schema=schema), merge(reasons))
