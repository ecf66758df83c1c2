"""What the written tables are: ``include/sql/<table>/schema.yaml`` is the one definition of columns, key and end.

A folder with ``kind: table`` defines the table of its name. Where a query's rows are published in other columns, the
table stands under ``table:`` beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import BadInput
from lead_scoring.settings import project_home
from lead_scoring.warehouse.sql import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = "features"  # in the place of the columns of a feature set, which the catalog defines


@dataclass(frozen=True)
class TableDefinition:
    """One written table.

    :param partition: the column whose value names a partition: ``as_of`` or ``run_key``.
    :param keep_days: partitions that are older than the newest one by more than this have no further use.
    :param columns: name to BigQuery type, in order. :data:`FEATURES` stands for those of a feature set.
    """

    name: str
    partition: str
    keep_days: int
    columns: Mapping[str, str]
    description: str = ""

    def with_features(self, features: Sequence[str]) -> dict[str, str]:
        """The columns, with those of a feature set in their place."""
        found: dict[str, str] = {}
        for name, kind in self.columns.items():
            found |= dict.fromkeys(features, kind) if name == FEATURES else {name: kind}
        return found


def table_definition(sql_folder: Path, name: str) -> TableDefinition:
    """:raises NotFound: there is no ``schema.yaml`` of this name. :raises BadInput: it defines no table."""
    found = _definition(sql_folder, name, schema_of(sql_folder, name))
    if found is None:
        raise BadInput(f"{sql_folder / name / 'schema.yaml'} defines no table; it is of a query: see `table:`")
    return found


@lru_cache(maxsize=64)
def table_schema(name: str, features: tuple[str, ...] = ()) -> pa.Schema:
    """The Arrow schema of a written table. :param features: the columns of its feature set, if it has one."""
    from lead_scoring.warehouse.types import arrow_schema

    return arrow_schema(table_definition(project_home() / "include" / "sql", name).with_features(features))


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
    described = table.get("description", schema.get("description", "")).strip()
    return TableDefinition(name, table["partition"], table["keep_days"], columns, described)
