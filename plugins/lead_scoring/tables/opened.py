"""A table that somebody brought, opened: its columns by name and its rows as batches, whatever it lies in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.stage import canonical_json, sha256_bytes, sha256_file
from lead_scoring.tables.columns import Column, resolve
from lead_scoring.tables.values import ARROW, Misfit, convert, fits
from lead_scoring.text import shown

BATCH_ROWS = 65_536
_SAMPLE_VALUES = 200


@dataclass(frozen=True)
class ParquetPart:
    """One Parquet file."""

    path: Path
    parse = False

    def names(self) -> list[str]:
        with self._open() as file:
            return list(file.schema_arrow.names)

    def types(self) -> dict[str, pa.DataType]:
        with self._open() as file:
            return {field.name: field.type for field in file.schema_arrow}

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Batches of these columns, in the order of the file.

        Within a row group by ``iter_batches``: a file of a megabyte may unpack to gigabytes in one row group. And one
        row group at a time: with pyarrow 26.0 its memory grows by 5 MB for every row group that it has passed.
        """
        with self._open() as file:
            told = file.metadata.num_rows
            found = 0
            for group in range(file.num_row_groups):
                try:
                    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                        found += batch.num_rows
                        yield pa.Table.from_batches([batch])
                except (OSError, pa.ArrowException) as error:
                    raise BadInput(f"file {self.path} is damaged ({_first_line(error)}); export it again") from error
            if found != told:
                raise BadInput(f"file {self.path} announces {told} rows and holds {found}; export it again")

    def _open(self) -> pq.ParquetFile:
        try:
            # Spark's INT96 holds years that nanoseconds do not; read as those they would be another century
            return pq.ParquetFile(self.path, coerce_int96_timestamp_unit="us")
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"file {self.path} is not a Parquet file: {_first_line(error)}") from error


Part = ParquetPart


@dataclass(frozen=True)
class OpenTable:
    """:param label: the table as it was named to us.
    :param digest: SHA-256 in hex over what it holds.
    """

    label: str
    parts: tuple[Part, ...]
    digest: str

    @property
    def names(self) -> list[str]:
        return self.parts[0].names()

    def sample(self, name: str) -> list[Any]:
        """The first values of a column that are not missing: the leads to score may stand before the labelled ones."""
        values: list[Any] = []
        for part in self.parts:
            for batch in part.rows([name]):
                try:
                    values += batch.column(0).drop_null().slice(0, _SAMPLE_VALUES).to_pylist()
                except (ValueError, OverflowError):  # a time that Python's datetime does not hold
                    return [dt.date.max]
                values = [value for value in values if not isinstance(value, str) or value.strip()]
                if len(values) >= _SAMPLE_VALUES:
                    return values
        return values


@dataclass(frozen=True)
class Taken:
    """What was read of a table.

    :param found: column to its name in the table.
    :param path: Parquet with the found columns under our names, in the order they were asked for.
    """

    found: Mapping[str, str]
    path: Path
    rows: int


def open_table(where: str | Path) -> OpenTable:
    """Open the table at a path.

    :raises NotFound: there is none. :raises BadInput: it is no table.
    """
    path = Path(where)
    if not path.is_file():
        raise NotFound(f"file {path} does not exist; give the path of a Parquet file")
    part = ParquetPart(path)
    part.names()
    return OpenTable(str(where), (part,), sha256_file(path))


def take(
    table: OpenTable,
    wanted: Sequence[Column],
    out: Path,
    *,
    called: str = "table",
    maps: Mapping[str, str] | None = None,
    needs: str = "",
    fill: bool = False,
) -> Taken:
    """Read the wanted columns, convert them, and write them as Parquet under our names. Memory does not grow with it.

    :param called: what the table is to the reader, for errors: ``feature table``.
    :param fill: write the optional columns that are not there as well, with nothing in them.
    :raises BadInput: see :func:`resolve`; or a value does not fit its column: the error names it and its row.
    """
    label = f"{called} {table.label}"
    found = resolve(table.names, wanted, table=label, maps=maps, sample=table.sample, needs=needs)
    types = {name: kind for part in table.parts[:1] for name, kind in part.types().items()}
    for column in wanted:  # what nothing is computed from never stops a table
        if not column.matters and column.name in found and not fits(types[found[column.name]], column.kind):
            del found[column.name]
    columns = [column for column in wanted if fill or column.name in found]
    schema = pa.schema([(column.name, ARROW[column.kind]) for column in columns])
    read = [found[column.name] for column in columns if column.name in found]
    rows = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for part in table.parts:
            for batch in part.rows(read):
                arrays = [
                    _converted(batch.column(found[column.name]), column, found[column.name], label, rows, part.parse)
                    if column.name in found
                    else pa.nulls(batch.num_rows, ARROW[column.kind])
                    for column in columns
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                rows += batch.num_rows
    return Taken(found, out, rows)


def _converted(values: pa.ChunkedArray, column: Column, name: str, label: str, before: int, parse: bool) -> pa.Array:
    try:
        return convert(values.combine_chunks(), column.kind, parse=parse)
    except Misfit as wrong:
        row = "" if wrong.place is None else f" (row {before + wrong.place + 1:,})"
        raise BadInput(f"column {shown(name)!r} of {label} {wrong.problem}{row}") from None


def _first_line(error: Exception) -> str:
    return shown(str(error).partition("\n")[0], maximum=200)


def digest_of(digests: Sequence[str]) -> str:
    """One digest of several files, in their order; of one file its own."""
    return digests[0] if len(digests) == 1 else sha256_bytes(canonical_json(list(digests)))
