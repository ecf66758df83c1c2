"""What the written tables are: ``include/sql/<table>/schema.yaml`` is the one definition of columns, key and end.

A folder with ``kind: table`` defines the table of its name. Where a query's rows are published in other columns, the
table stands under ``table:`` beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.warehouse.sql import schema_of


@dataclass(frozen=True)
class TableDefinition:
    """One written table.

    :param partition: the column whose value names a partition: ``as_of`` or ``run_key``.
    :param keep_days: partitions that are older than the newest one by more than this have no further use.
    :param columns: name to BigQuery type, in order.
    """

    name: str
    partition: str
    keep_days: int
    columns: Mapping[str, str]


def table_definition(sql_folder: Path, name: str) -> TableDefinition:
    """:raises NotFound: there is no ``schema.yaml`` of this name. :raises BadInput: it defines no table."""
    found = _definition(sql_folder, name, schema_of(sql_folder, name))
    if found is None:
        raise BadInput(f"{sql_folder / name / 'schema.yaml'} defines no table; it is of a query: see `table:`")
    return found


def table_definitions(sql_folder: Path) -> dict[str, TableDefinition]:
    """Every written table, by name."""
    names = sorted(path.parent.name for path in sql_folder.glob("*/schema.yaml"))
    found = (_definition(sql_folder, name, schema_of(sql_folder, name)) for name in names)
    return {item.name: item for item in found if item is not None}


def _definition(sql_folder: Path, name: str, schema: Mapping[str, Any]) -> TableDefinition | None:
    table = schema if schema.get("kind") == "table" else schema.get("table")
    if table is None:
        return None
    if "like" in table:
        without = set(table.get("without", []))
        all_columns = table_definition(sql_folder, table["like"]).columns
        columns = {column: kind for column, kind in all_columns.items() if column not in without}
    else:
        columns = dict(table["columns"])
    return TableDefinition(name, table["partition"], table["keep_days"], columns)
