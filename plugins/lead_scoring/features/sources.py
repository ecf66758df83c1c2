"""The canonical source tables: their columns, loading them from Parquet files, and checking them in the warehouse."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.features.origin import day_of_files, mark_synthetic, refuse_to_replace_own
from lead_scoring.settings import WarehouseSettings, project_home
from lead_scoring.tables import ARROW, Column, OpenTable, find_table, names_in, open_table, take
from lead_scoring.text import shown
from lead_scoring.warehouse import PartitionInfo, Warehouse, embedded_engine
from lead_scoring.warehouse.sql import load_sql, schema_of, table_names
from lead_scoring.warehouse.types import bigquery_type

# leads.advisor_crd is text, as the CRM holds it: what is not a number there is set aside with its value.
SOURCE_COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "leads": (
        Column("lead_id", "lead_id"),
        Column("advisor_crd", "crd_text"),
        Column("contacted_at", "time"),
        Column("call_scheduled_at", "time"),
        Column("company", "text", required=False, matters=False),
        Column("lead_source", "text", required=False, matters=False),
        Column("recorded_at", "time", required=False),
    ),
    "employment_history": (
        Column("advisor_crd", "crd"),
        Column("firm_crd", "crd"),
        Column("start_date", "day"),
        Column("end_date", "day"),
        Column("recorded_at", "time", required=False),
    ),
    "firm_snapshots": (
        Column("firm_crd", "crd"),
        Column("month", "day"),
        Column("total_aum", "number"),
        Column("recorded_at", "time", required=False),
    ),
}
SOURCE_TABLES: Mapping[str, pa.Schema] = {
    table: pa.schema([(column.name, ARROW[column.kind]) for column in columns])
    for table, columns in SOURCE_COLUMNS.items()
}
_VENDOR_KINDS = {"STRING": "text", "INT64": "integer", "FLOAT64": "number", "DATE": "day", "TIMESTAMP": "time"}


def load_source(
    warehouse: Warehouse,
    folder: str | Path,
    sql_folder: Path | None = None,
    *,
    maps: Mapping[str, str] | None = None,
    limits: WarehouseSettings | None = None,
) -> dict[str, PartitionInfo]:
    """Load the tables ``leads``, ``employment_history`` and ``firm_snapshots`` of a folder into the warehouse.

    Each is a file (``leads.parquet``, ``leads.csv.gz``, ``leads.jsonl``) or a folder of part files; the folder may be a
    ``gs://`` address.

    In place of one of them the folder may hold the vendor's own table (``Lead``,
    ``contact_registered_employment_history``, ``Firm_historicals``), which the query of the same name in
    ``include/sql/sources`` maps to the canonical columns.

    Every table is checked before the first one is replaced; synthetic tables replace only synthetic ones. Times without
    a zone are taken as UTC. A missing ``recorded_at`` is loaded as missing; features that need it are then refused by
    :func:`materialize`.

    :param maps: name in a table to the column that it is; ``leads.Id`` means the one of that table only.
    :param limits: of the engine that maps a vendor's table, its memory above all.
    :raises NotFound: a file is missing.
    :raises BadInput: a column is missing, there twice, only alike, or holds what it cannot hold; a table has no rows;
        the files are synthetic and the warehouse has tables that are not.
    """
    views = (sql_folder or project_home() / "include" / "sql") / "sources"
    unused = dict(maps or {})
    with tempfile.TemporaryDirectory(prefix="source-") as private:
        taken = {table: _taken(folder, table, views, Path(private) / table, unused, limits) for table in SOURCE_TABLES}
        if unused:
            raise BadInput(f"--map {next(iter(unused))!r} names no column of the tables in {folder}")
        sources = [Path(folder) / f"{table}.parquet" for table in SOURCE_TABLES]
        last_day = day_of_files(path for path in sources if path.is_file())
        if last_day is not None:
            refuse_to_replace_own(warehouse, list(SOURCE_TABLES))
        loaded = {table: warehouse.replace_partition(table, "all", [path]) for table, path in taken.items()}
        if last_day is not None:
            mark_synthetic(warehouse, list(SOURCE_TABLES), last_day, Path(private))
        return loaded


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


def _taken(
    folder: str | Path,
    table: str,
    views: Path,
    work: Path,
    unused: dict[str, str],
    limits: WarehouseSettings | None,
) -> Path:
    """The canonical table, made of the canonical file or of the vendor's."""
    wanted = SOURCE_COLUMNS[table]
    if path := find_table(folder, table):
        return _take(open_table(path), table, wanted, work / "taken.parquet", unused)
    sql = load_sql(views, table)
    vendor = table_names(sql)[0]
    theirs = find_table(folder, vendor)
    if theirs is None:
        present = ", ".join(names_in(folder)) or "nothing there"
        raise NotFound(
            f"source folder {folder} has neither {table} nor {vendor} ({shown(present)}); a source has the tables "
            f"{', '.join(SOURCE_TABLES)}, as {table}.parquet, {table}.csv, {table}.jsonl or a folder {table}"
        )
    columns = [
        Column(name, _vendor_kind(name, kind)) for name, kind in schema_of(views, table)["tables"][vendor].items()
    ]
    renamed = _take(open_table(theirs), vendor, columns, work / "renamed.parquet", unused)
    engine = embedded_engine(work / "vendor", limits)
    engine.replace_partition("vendor_table", "all", [renamed])
    mapped = engine.export(sql.replace(f"FROM {vendor}", "FROM vendor_table"), {}, work / "mapped", 2**62)[0]
    return _take(open_table(mapped), table, wanted, work / "taken.parquet", {})


def _take(opened: OpenTable, table: str, wanted: Sequence[Column], out: Path, unused: dict[str, str]) -> Path:
    """:param unused: the maps that no table has used yet; those of this table are taken out."""
    names, meanings = set(opened.names), {"", *(column.name for column in wanted)}
    mine = {}
    for theirs, ours in list(unused.items()):
        name = theirs.removeprefix(f"{table}.")
        if name in names and ours in meanings:
            mine[name] = unused.pop(theirs)
    taken = take(opened, wanted, out, called="table", maps=mine, fill=True)
    if taken.rows == 0:
        raise BadInput(f"table {opened.label} has no rows; there is nothing to compute features from")
    return taken.path


def _vendor_kind(name: str, declared: str) -> str:
    """What a vendor's column holds, by its declared type; CRDs and Salesforce ids by their names."""
    if "CRD" in name.upper():
        return "crd_text" if declared == "STRING" else "crd"
    return "lead_id" if name == "Id" else _VENDOR_KINDS[declared]
