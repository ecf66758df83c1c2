"""What every engine does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

SqlValue = str | int | float | bool | dt.date | dt.datetime | None


@dataclass(frozen=True)
class PartitionInfo:
    """What a partition holds now.

    :param partition: a date (``2024-12-21``), a run key, or ``all`` for a table of one partition.
    :param digest: 16 hex characters that change when the content changes.
    """

    table: str
    partition: str
    rows: int
    digest: str


class Warehouse(Protocol):
    name: str

    def tables(self) -> list[str]: ...

    def columns(self, table: str) -> dict[str, str]:
        """Column name to BigQuery type name. :raises NotFound: there is no such table."""
        ...

    def fingerprint(self, tables: Sequence[str]) -> str:
        """Digest of what these tables hold now. :raises NotFound: one of them does not exist."""
        ...

    def query(self, sql: str, params: Mapping[str, SqlValue] | None = None) -> pa.Table:
        """Rows of one BigQuery SELECT with ``@name`` parameters. For small results.

        :raises BadInput: the SQL uses a construct that the two engines answer differently.
        :raises NotFound: it reads a table that does not exist.
        """
        ...

    def export(self, sql: str, params: Mapping[str, SqlValue] | None, folder: Path, rows_per_file: int) -> list[Path]:
        """Rows in the order of the query as Parquet files ``part-00000.parquet``, ..., in constant memory.

        Equal content gives equal bytes. Without rows there is one file with no rows.
        """
        ...

    def replace_partition(self, table: str, partition: str, files: Sequence[Path]) -> PartitionInfo:
        """Make these Parquet files the whole content of a partition, in one step: a reader sees the old or the new."""
        ...

    def drop_partition(self, table: str, partition: str) -> PartitionInfo | None:
        """Remove a partition in one step and say what it held; None if there was none.

        A table without partitions is gone: :meth:`tables` does not list it, where the engine keeps partitions apart.
        """
        ...

    def vacuum(self, *, dry_run: bool = False) -> int:
        """Remove what a day ago was content already and is no partition's any more; the bytes that it took.

        :param dry_run: only say how many they are.
        """
        ...

    def partition(self, table: str, partition: str) -> PartitionInfo | None: ...

    def partitions(self, table: str, key: str | None = None) -> list[str]:
        """Sorted names. :raises NotFound: there is no such table.

        :param key: the column that names the partitions, ``as_of`` or ``run_key``, for a table that has both. Without
            it an engine that finds partitions in the rows takes ``as_of``. An engine that keeps the names has no need.
        """
        ...
