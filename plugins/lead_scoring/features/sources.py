"""The canonical source tables: their columns, loading them from Parquet files, and checking them in the warehouse."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.settings import project_home
from lead_scoring.warehouse import PartitionInfo, Warehouse
from lead_scoring.warehouse.embedded import EmbeddedWarehouse, bigquery_type
from lead_scoring.warehouse.shards import ShardWriter
from lead_scoring.warehouse.sql import load_sql, schema_of, table_names

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


def load_source(warehouse: Warehouse, folder: Path, sql_folder: Path | None = None) -> dict[str, PartitionInfo]:
    """Load ``leads.parquet``, ``employment_history.parquet`` and ``firm_snapshots.parquet`` into the warehouse.

    In place of one of them the folder may hold the vendor's own table (``Lead.parquet``,
    ``contact_registered_employment_history.parquet``, ``Firm_historicals.parquet``), which the query of the same name
    in ``include/sql/sources`` maps to the canonical columns.

    Every table is checked before the first one is replaced. Times without a zone are taken as UTC. A missing
    ``recorded_at`` is loaded as missing; features that need it are then refused by :func:`materialize`.

    :raises NotFound: a file is missing.
    :raises BadInput: a column is missing, has a type that does not convert without loss, or a table has no rows.
    """
    views = (sql_folder or project_home() / "include" / "sql") / "sources"
    with tempfile.TemporaryDirectory(prefix="source-") as private:
        converted = {}
        for table, schema in SOURCE_TABLES.items():
            work = Path(private) / table
            path = _source_file(folder, table, views, work)
            converted[table] = _convert_file(table, path, schema, work / "converted")
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


def _source_file(folder: Path, table: str, views: Path, work: Path) -> Path:
    """The canonical file, or one made of the vendor's."""
    path = folder / f"{table}.parquet"
    if path.is_file():
        return path
    sql = load_sql(views, table)
    vendor = table_names(sql)[0]
    theirs = folder / f"{vendor}.parquet"
    if not theirs.is_file():
        present = sorted(item.name for item in folder.glob("*.parquet")) if folder.is_dir() else "no such folder"
        raise NotFound(
            f"source folder {folder} has neither {path.name} nor {theirs.name} ({present}); "
            f"a source has {', '.join(f'{name}.parquet' for name in SOURCE_TABLES)}"
        )
    return _map_vendor_table(views, table, sql, vendor, theirs, work)


def _map_vendor_table(views: Path, table: str, sql: str, vendor: str, path: Path, work: Path) -> Path:
    needed = dict(schema_of(views, table)["tables"][vendor])
    present = set(open_parquet(path).schema_arrow.names)
    if missing := [column for column in needed if column not in present]:
        raise BadInput(f"table {path} has no column {missing[0]!r}; the view sources/{table} needs {sorted(needed)}")
    engine = EmbeddedWarehouse(work / "vendor")
    engine.replace_partition("vendor_table", "all", [path])
    renamed = sql.replace(f"FROM {vendor}", "FROM vendor_table")
    return engine.export(renamed, {}, work / "mapped", 2**62)[0]


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
