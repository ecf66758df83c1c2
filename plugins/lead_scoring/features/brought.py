"""Bring a ready feature table: no materialization, the same contract."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput
from lead_scoring.features.contract import Reasons, contract_reasons, lead_id_reasons, marked, merge
from lead_scoring.features.rows import RowSink, row_schema
from lead_scoring.features.sources import open_parquet
from lead_scoring.settings import FeatureSettings
from lead_scoring.stage import StageOutput, sha256_file
from lead_scoring.warehouse.embedded import EmbeddedWarehouse, bigquery_type

_BATCH_ROWS = 131_072
_NUMBERS = {"INT64", "FLOAT64", "NUMERIC", "BOOL"}


def table_digest(path: str) -> str:
    """SHA-256 of the file. :raises NotFound: there is none. :raises BadInput: it is not Parquet."""
    open_parquet(Path(path)).close()
    return sha256_file(Path(path))


def bring(path: str, *, as_of: dt.date, feature_set: FeatureSet, settings: FeatureSettings, work: Path) -> StageOutput:
    """Check a Parquet feature table and cut it into shards.

    Columns: every feature under its model name or its warehouse name; ``target`` (0, 1 or missing), ``lead_id`` and
    ``contacted_at`` if there are any. Without ``lead_id`` the rows are numbered ``row-0000001``. A row with a target
    gives a training row; every row gives a row to score. A table that :func:`materialize` made has ``pit_date`` and
    ``scorable`` as well: only its scorable rows give a row to score.

    :raises NotFound: no such file.
    :raises BadInput: not Parquet, no rows, a feature is missing or not a number, a target is not 0 or 1 throughout.
    :raises CheckFailed: more rows were set aside than ``features.max_rejected_share`` allows.
    """
    file = open_parquet(Path(path))
    types = {field.name: bigquery_type(field.type) for field in file.schema_arrow}
    if file.metadata.num_rows == 0:
        raise BadInput(f"feature table {path} has no rows")
    file.close()
    columns = _feature_columns(path, types, feature_set)
    has_ids, has_target, has_scorable = "lead_id" in types, "target" in types, "scorable" in types
    contact = next((name for name in ("contacted_at", "pit_date") if name in types), None)
    if has_ids and types["lead_id"] != "STRING":
        raise BadInput(f"column 'lead_id' of {path} is {types['lead_id']}; it must be text: Salesforce ids")
    if has_target and types["target"] not in _NUMBERS:
        raise BadInput(f"column 'target' of {path} is {types['target']}; it must be 0, 1 or missing")
    if contact and types[contact] not in {"DATE", "TIMESTAMP", "DATETIME"}:
        raise BadInput(f"column {contact!r} of {path} is {types[contact]}; it must be a date or a time")
    if has_scorable and types["scorable"] != "BOOL":
        raise BadInput(f"column 'scorable' of {path} is {types['scorable']}; it must be true or false")

    table = EmbeddedWarehouse(work / "brought")
    table.replace_partition("brought", "all", [Path(path)])
    parts = [f"CAST(`{found}` AS FLOAT64) AS {column}" for column, found in columns.items()]
    parts += ["CAST(target AS FLOAT64) AS target"] if has_target else []
    parts += [f"DATE({contact}) AS pit_date"] if contact else []
    parts += ["scorable"] if has_scorable else []
    key = "lead_id, scorable" if has_scorable else "lead_id"
    parts += ["lead_id", f"COUNT(*) OVER (PARTITION BY {key}) AS copies"] if has_ids else []
    sql = f"SELECT {', '.join(parts)} FROM brought" + (f" ORDER BY {key}" if has_ids else "")

    sink = RowSink(work, as_of=as_of, feature_set=feature_set, rows_per_shard=settings.rows_per_shard)
    rows = dated = 0
    for part in table.export(sql, {}, work / "computed", 1_048_576):
        for batch in pq.ParquetFile(part).iter_batches(_BATCH_ROWS):
            arrow = pa.Table.from_batches([batch])
            dated += arrow.num_rows - arrow.column("pit_date").null_count if contact else 0
            _add(sink, arrow, feature_set, first_row=rows, as_of=as_of)
            rows += arrow.num_rows
    files = sink.close(with_train=has_target)
    sink.check_share(settings.max_rejected_share)
    return StageOutput(
        files=files,
        counts={
            "leads": rows,
            "rows_in": rows,
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
        },
    )


def _feature_columns(path: str, types: dict[str, str], feature_set: FeatureSet) -> dict[str, str]:
    """Warehouse column to the table's own name."""
    found = {}
    for feature in feature_set.features:
        name = next((name for name in (feature.name, feature.column) if name in types), None)
        if name is None:
            raise BadInput(
                f"feature table {path} has no column {feature.name!r}; feature set {feature_set.name} needs "
                f"{feature_set.names}"
            )
        if types[name] not in _NUMBERS:
            raise BadInput(f"feature {name!r} in {path} is of type {types[name]}; it must be a number ({feature.unit})")
        found[feature.column] = name
    return found


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
    target = table.column("target").to_numpy() if "target" in names else np.full(count, np.nan)
    odd = ~np.isnan(target) & (target != 0) & (target != 1)
    reasons.append({int(place): f"target is {target[place]:g}, not 0 or 1" for place in np.flatnonzero(odd)})
    frame = table.select(feature_set.columns).to_pandas().astype("float64")
    reasons.append(contract_reasons(frame, feature_set))
    columns = {
        "lead_id": lead_ids,
        "pit_date": pit,
        "target": pa.array(np.where(odd, np.nan, target), from_pandas=True).cast(pa.int64()),
        "scorable": pc.fill_null(table.column("scorable"), False)
        if "scorable" in names
        else pa.array(np.ones(count, dtype=bool)),
    }
    columns |= {column: pa.array(frame[column].to_numpy()) for column in feature_set.columns}
    schema = row_schema(feature_set)
    sink.add_brought(pa.table([columns[name] for name in schema.names], schema=schema), merge(reasons))
