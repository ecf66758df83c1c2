"""Whether the source tables of a warehouse are synthetic. Synthetic data never replace tables that they did not make.

A synthetic Parquet file says so in its metadata. Once such files are loaded, the table ``source_origin`` holds the
fingerprint of what was loaded and its last day. Tables with another fingerprint, or without such a row, are somebody's
own, however they came in: also a table that the warehouse's own tools replaced since.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput
from lead_scoring.warehouse import Warehouse

TABLE = "source_origin"
METADATA_KEY = "synthetic_as_of"  # of a synthetic Parquet file: the last day of the data
_SCHEMA = pa.schema([("source_fingerprint", pa.string()), ("synthetic_as_of", pa.date32())])


def day_of_files(paths: Iterable[Path]) -> dt.date | None:
    """The last day of synthetic files; None if none of them is synthetic."""
    found = [(pq.read_schema(path).metadata or {}).get(METADATA_KEY.encode()) for path in paths]
    days = [dt.date.fromisoformat(value.decode()) for value in found if value]
    return max(days, default=None)


def synthetic_day(warehouse: Warehouse, tables: Sequence[str]) -> dt.date | None:
    """The last day of the source tables if they are as ``sample`` made them; None if they are not, or are not there."""
    present = set(warehouse.tables())
    if TABLE not in present or not present.issuperset(tables):
        return None
    fingerprint = warehouse.fingerprint(tables)
    rows = warehouse.query(f"SELECT source_fingerprint, synthetic_as_of FROM {TABLE}").to_pylist()
    days: list[dt.date] = [row["synthetic_as_of"] for row in rows if row["source_fingerprint"] == fingerprint]
    return max(days, default=None)


def refuse_to_replace_own(warehouse: Warehouse, tables: Sequence[str]) -> None:
    """:raises BadInput: one of the tables is there and was not made by ``sample``."""
    own = sorted(set(tables) & set(warehouse.tables()))
    if own and synthetic_day(warehouse, tables) is None:
        elsewhere = "warehouse.folder" if warehouse.name == "duckdb" else "warehouse.dataset"
        raise BadInput(
            f"the warehouse has {', '.join(own)} that `sample` did not make, and synthetic data never replace them: "
            f"use another {elsewhere}; if they are a laptop's, of an older demo, `make clean` forgets them"
        )


def mark_synthetic(warehouse: Warehouse, tables: Sequence[str], last_day: dt.date, work: Path) -> None:
    """Put on record that the source tables are synthetic, as they stand now."""
    path = work / f"{TABLE}.parquet"
    row = {"source_fingerprint": warehouse.fingerprint(tables), "synthetic_as_of": last_day}
    pq.write_table(pa.Table.from_pylist([row], schema=_SCHEMA), path)
    warehouse.replace_partition(TABLE, "all", [path])
