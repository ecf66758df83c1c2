"""Parquet shards: a stream of record batches cut into files of a set number of rows, with deterministic bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 131_072


class ShardWriter:
    """Writes ``<prefix>00000.parquet``, ``<prefix>00001.parquet``, ...; at least one file, also without rows.

    Rows are buffered up to one row group, so equal rows give equal bytes however the batches were cut.

    :param rows_per_file: rows of every file but the last.
    """

    def __init__(self, folder: Path, prefix: str, schema: pa.Schema, rows_per_file: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.prefix, self.schema, self.rows_per_file = folder, prefix, schema, rows_per_file
        self.paths: list[Path] = []
        self.rows = 0
        self._writer: Any = None
        self._in_file = 0
        self._pending: list[pa.Table] = []
        self._pending_rows = 0

    def write(self, table: pa.Table) -> None:
        table = table.select(self.schema.names).cast(self.schema)
        while table.num_rows:
            room = min(ROW_GROUP_ROWS, self.rows_per_file - self._in_file) - self._pending_rows
            piece = table.slice(0, room)
            table = table.slice(piece.num_rows)
            self._pending.append(piece)
            self._pending_rows += piece.num_rows
            self.rows += piece.num_rows
            if piece.num_rows == room:
                self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            path = self.folder / f"{self.prefix}{len(self.paths):05d}.parquet"
            self.paths.append(path)
            self._writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        if self._pending_rows:
            self._writer.write_table(pa.concat_tables(self._pending).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        self._in_file += self._pending_rows
        self._pending, self._pending_rows = [], 0
        if self._in_file >= self.rows_per_file:
            self._writer.close()
            self._writer, self._in_file = None, 0

    def close(self) -> list[Path]:
        """Finish the last file and return all paths in order."""
        if self._pending_rows or not self.paths:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        return self.paths
