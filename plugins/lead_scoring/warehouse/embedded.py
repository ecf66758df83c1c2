"""The embedded engine: an in-memory DuckDB over a folder of Parquet partitions. No server and no database file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, Transient, exhausted
from lead_scoring.warehouse import PartitionInfo, SqlValue
from lead_scoring.warehouse.partitions import PartitionFolder
from lead_scoring.warehouse.shards import ShardWriter
from lead_scoring.warehouse.sql import parameter_names, table_names, to_duckdb
from lead_scoring.warehouse.types import bigquery_type, canonical_schema

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Read = TypeVar("Read")
_LOOKS = 4  # at what other runs replace meanwhile
_BATCH_ROWS = 122_880  # a multiple of DuckDB's vector size


class Overtaken(Transient):
    """What a query was reading was replaced and cleared away before it ended."""


def _looking_again(read: Callable[[], Read]) -> Read:
    """Read anew what other runs replaced meanwhile; a table that is replaced all the time is the caller's to retry."""
    for _ in range(_LOOKS - 1):
        try:
            return read()
        except Overtaken:
            continue
    return read()


class EmbeddedWarehouse:
    """:param folder: where the partitions are.
    :param memory_limit_mb: DuckDB spills to a temporary folder past this.
    """

    name = "duckdb"

    def __init__(self, folder: Path, *, memory_limit_mb: int = 1500, threads: int = 2) -> None:
        self.folder = folder
        self.memory_limit_mb = memory_limit_mb
        self.threads = threads
        self._partitions = PartitionFolder(folder)

    def tables(self) -> list[str]:
        return self._partitions.tables()

    def columns(self, table: str) -> dict[str, str]:
        schema = pq.read_schema(self._partitions.files(table)[0])
        return {field.name: bigquery_type(field.type) for field in schema}

    def fingerprint(self, tables: Sequence[str]) -> str:
        return self._partitions.fingerprint(tables)

    def partition(self, table: str, partition: str) -> PartitionInfo | None:
        return self._partitions.info(table, partition)

    def partitions(self, table: str, key: str | None = None) -> list[str]:
        return self._partitions.partitions(table)

    def replace_partition(self, table: str, partition: str, files: Sequence[Path]) -> PartitionInfo:
        return self._partitions.replace(table, partition, files)

    def drop_partition(self, table: str, partition: str) -> PartitionInfo | None:
        return self._partitions.drop(table, partition)

    def vacuum(self, *, dry_run: bool = False) -> int:
        return self._partitions.vacuum(dry_run=dry_run)

    def query(self, sql: str, params: Mapping[str, SqlValue] | None = None) -> pa.Table:
        def read() -> pa.Table:
            with self._run(sql, params) as reader:
                return reader.read_all()

        table = _looking_again(read)
        return table.cast(canonical_schema(table.schema))

    def export(self, sql: str, params: Mapping[str, SqlValue] | None, folder: Path, rows_per_file: int) -> list[Path]:
        def read() -> list[Path]:
            with self._run(sql, params) as reader:
                writer = ShardWriter(folder, "part-", canonical_schema(reader.schema), rows_per_file)
                for batch in reader:
                    writer.write(pa.Table.from_batches([batch]))
                return writer.close()

        return _looking_again(read)

    @contextmanager
    def _run(self, sql: str, params: Mapping[str, SqlValue] | None) -> Generator[pa.RecordBatchReader]:
        text = to_duckdb(sql)
        files = {table: self._partitions.files(table) for table in table_names(sql)}
        spill = tempfile.mkdtemp(prefix="duckdb-")
        connection = self._connect(spill)
        try:
            for table, paths in files.items():
                connection.read_parquet([str(path) for path in paths], union_by_name=True).create_view(table)
            used = {name: value for name, value in (params or {}).items() if name in parameter_names(sql)}
            yield connection.sql(text, params=used).to_arrow_reader(_BATCH_ROWS)
        except duckdb.Error as error:
            if ran_out := exhausted(error):
                raise ran_out from error
            if gone := [table for table, paths in files.items() if not all(path.exists() for path in paths)]:
                raise Overtaken(
                    f"a partition of {', '.join(sorted(gone))} was removed or replaced while a query read it: another "
                    "run ended just then; try again"
                ) from error
            raise BadInput(f"query failed on {sorted(files)}: {' '.join(str(error).split())[:300]}") from error
        finally:
            connection.close()
            shutil.rmtree(spill, ignore_errors=True)

    def _connect(self, spill: str) -> DuckDBPyConnection:
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{self.memory_limit_mb}MB",
                "threads": str(self.threads),
                "temp_directory": spill,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        connection.execute("SET TimeZone = 'UTC'")
        return connection
