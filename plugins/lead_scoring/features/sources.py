"""The canonical source tables: their columns, loading them from Parquet files, and checking them in the warehouse."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.warehouse import PartitionInfo, Warehouse
from lead_scoring.warehouse.embedded import bigquery_type
from lead_scoring.warehouse.shards import ShardWriter

_TIMESTAMP = pa.timestamp("us", tz="UTC")

# leads.advisor_crd is text, as the CRM holds it: what is not a number there is set aside with its value.
SOURCE_TABLES: Mapping[str, pa.Schema] = {
    "leads": pa.schema([
        ("lead_id", pa.string()),
        ("advisor_crd", pa.string()),
        ("contacted_at", _TIMESTAMP),
        ("call_scheduled_at", _TIMESTAMP),
        ("company", pa.string()),
        ("lead_source", pa.string()),
        ("recorded_at", _TIMESTAMP),
    ]),
    "employment_history": pa.schema([
        ("advisor_crd", pa.int64()),
        ("firm_crd", pa.int64()),
        ("start_date", pa.date32()),
        ("end_date", pa.date32()),
        ("recorded_at", _TIMESTAMP),
    ]),
    "firm_snapshots": pa.schema([
        ("firm_crd", pa.int64()),
        ("month", pa.date32()),
        ("total_aum", pa.float64()),
        ("recorded_at", _TIMESTAMP),
    ]),
}

_OPTIONAL = {"recorded_at", "company", "lead_source"}
_ROWS_PER_FILE = 4_000_000
_BATCH_ROWS = 131_072


def load_source(warehouse: Warehouse, folder: Path) -> dict[str, PartitionInfo]:
    """Load ``leads.parquet``, ``employment_history.parquet`` and ``firm_snapshots.parquet`` into the warehouse.

    Every table is checked before the first one is replaced. Times without a zone are taken as UTC. A missing
    ``recorded_at`` is loaded as missing; features that need it are then refused by :func:`materialize`.

    :raises NotFound: a file is missing.
    :raises BadInput: a column is missing, has a type that does not convert without loss, or a table has no rows.
    """
    with tempfile.TemporaryDirectory(prefix="source-") as private:
        converted = {
            table: _convert_file(table, _source_file(folder, table), schema, Path(private) / table)
            for table, schema in SOURCE_TABLES.items()
        }
        return {table: warehouse.replace_partition(table, "all", files) for table, files in converted.items()}


def check_sources(warehouse: Warehouse) -> None:
    """:raises NotFound: a source table is not in the warehouse.
    :raises BadInput: it lacks a column, or a column has another type.
    """
    for table, schema in SOURCE_TABLES.items():
        found = warehouse.columns(table)
        for field in schema:
            if field.name in {"company", "lead_source"}:
                continue
            wanted = bigquery_type(field.type)
            if field.name not in found:
                remedy = ""
                if field.name == "recorded_at":
                    remedy = "; a source without it needs the column filled with CAST(NULL AS TIMESTAMP)"
                raise BadInput(
                    f"table {table!r} has no column {field.name!r} ({wanted}); it has {sorted(found)}{remedy}"
                )
            if found[field.name] != wanted:
                raise BadInput(
                    f"column {table}.{field.name} is of type {found[field.name]}; it must be {wanted}: "
                    "convert it in the view that makes the table"
                )


def _source_file(folder: Path, table: str) -> Path:
    path = folder / f"{table}.parquet"
    if not path.is_file():
        present = sorted(item.name for item in folder.glob("*.parquet")) if folder.is_dir() else "no such folder"
        raise NotFound(
            f"source table {path} does not exist ({folder} has {present}); the source is a folder with "
            f"{', '.join(f'{name}.parquet' for name in SOURCE_TABLES)}"
        )
    return path


def _convert_file(table: str, path: Path, schema: pa.Schema, out: Path) -> list[Path]:
    file = open_parquet(path)
    present = set(file.schema_arrow.names)
    for field in schema:
        if field.name not in present and field.name not in _OPTIONAL:
            raise BadInput(f"table {path} has no column {field.name!r}; it has {sorted(present)}")
    if file.metadata.num_rows == 0:
        raise BadInput(f"table {path} has no rows; there is nothing to compute features from")
    writer = ShardWriter(out, "part-", schema, _ROWS_PER_FILE)
    for batch in file.iter_batches(_BATCH_ROWS, columns=[name for name in schema.names if name in present]):
        columns = [
            _convert(batch.column(field.name), field, table)
            if field.name in present
            else pa.nulls(len(batch), field.type)
            for field in schema
        ]
        writer.write(pa.Table.from_arrays(columns, schema=schema))
    return writer.close()


def _convert(column: pa.Array, field: pa.Field, table: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    to_text = pa.types.is_string(field.type)
    try:
        if pa.types.is_floating(column.type) and not pa.types.is_floating(field.type):
            # pandas turns integers with gaps into floats; a fraction is an error
            column = pc.cast(pc.if_else(pc.is_nan(column), None, column), pa.int64())
        if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
            return pc.assume_timezone(pc.cast(column, pa.timestamp("us"), safe=False), "UTC")
        if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type):
            return pc.cast(column, field.type, safe=False)
        if text and pa.types.is_integer(field.type) and not to_text:
            column = pc.utf8_trim_whitespace(column)
        return pc.cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadInput(
            f"column {table}.{field.name} ({column.type}) does not convert to {bigquery_type(field.type)}: "
            f"{str(error).splitlines()[0]}; mend the column in the source"
        ) from error


def open_parquet(path: Path) -> pq.ParquetFile:
    """:raises NotFound: no such file. :raises BadInput: it is not Parquet."""
    if not path.is_file():
        raise NotFound(f"file {path} does not exist; give the path of a Parquet file")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"file {path} is not a Parquet file: {str(error).splitlines()[0]}") from error
