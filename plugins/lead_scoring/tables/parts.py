"""One file of a table: Parquet, CSV or JSON lines, packed or not. Each gives names, and batches of columns."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput
from lead_scoring.tables.formats import format_of
from lead_scoring.text import shown

BATCH_ROWS = 65_536
_BLOCK_BYTES = 8 << 20  # the longest line of a CSV file
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class Part(Protocol):
    """One file of a table.

    :param parse: it holds nothing but text, so numbers are read from it.
    """

    @property
    def path(self) -> Path: ...

    @property
    def parse(self) -> bool: ...

    def names(self) -> list[str]: ...

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Batches of these columns, in the order of the file. :raises BadInput: it is damaged."""
        ...


def open_part(path: Path) -> Part:
    """:raises NotFound: no such file. :raises BadInput: it is no table; the error says what it is."""
    kind, packed, head = format_of(path)
    if kind == "parquet":
        return ParquetPart(path)
    return _csv_part(path, packed, head) if kind == "csv" else JsonPart(path, packed)


@dataclass(frozen=True)
class ParquetPart:
    path: Path
    parse: bool = False

    def names(self) -> list[str]:
        with self._open() as file:
            return list(file.schema_arrow.names)

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Within a row group by ``iter_batches``: a file of a megabyte may unpack to gigabytes in one row group. And
        one row group at a time: with pyarrow 26.0 its memory grows by 5 MB for every row group that it has passed.
        """
        with self._open() as file:
            told, found = file.metadata.num_rows, 0
            for group in range(file.num_row_groups):
                try:
                    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                        found += batch.num_rows
                        yield pa.Table.from_batches([batch])
                except (OSError, pa.ArrowException) as error:
                    raise BadInput(f"file {self.path} is damaged ({first_line(error)}); export it again") from error
            if found != told and columns:
                raise BadInput(f"file {self.path} announces {told} rows and holds {found}; export it again")

    def _open(self) -> pq.ParquetFile:
        try:
            # Spark's INT96 holds years that nanoseconds do not: read as those they would be of another century
            return pq.ParquetFile(self.path, coerce_int96_timestamp_unit="us")
        except (pa.ArrowException, OSError) as error:
            raise BadInput(
                f"file {self.path} is not a Parquet file, or only a part of one: {first_line(error)}; copy it again"
            ) from error


@dataclass(frozen=True)
class CsvPart:
    """:param skip: lines up to the end of the header."""

    path: Path
    packed: bool
    header: tuple[str, ...]
    delimiter: str
    skip: int
    encoding: str
    parse: bool = True

    def names(self) -> list[str]:
        return list(self.header)

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Every column as text: a type that is guessed from the first lines would change with them."""
        places = [str(self.header.index(name)) for name in columns]
        found = 0
        try:
            with self._stream() as stream:
                reader = pacsv.open_csv(
                    stream,
                    pacsv.ReadOptions(
                        column_names=[str(place) for place in range(len(self.header))],
                        skip_rows=self.skip,
                        block_size=_BLOCK_BYTES,
                        encoding=self.encoding,
                        use_threads=False,
                    ),
                    pacsv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                    pacsv.ConvertOptions(
                        include_columns=places, column_types=dict.fromkeys(places, pa.string()), null_values=[]
                    ),
                )
                for batch in reader:
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        piece = batch.slice(start, BATCH_ROWS)
                        yield pa.Table.from_arrays(piece.columns, names=list(columns))
                        found += piece.num_rows
        except pa.ArrowInvalid as error:
            if str(error).startswith("Empty CSV file"):  # a header and no row
                return
            raise BadInput(f"file {self.path} cannot be read past row {found:,}: {_csv_problem(error)}") from error
        except (OSError, UnicodeDecodeError, zlib.error) as error:
            raise BadInput(
                f"file {self.path} is damaged past row {found:,} ({first_line(error)}); copy it again"
            ) from error

    def _stream(self) -> pa.NativeFile:
        file = pa.OSFile(str(self.path))
        return pa.CompressedInputStream(file, "gzip") if self.packed else file


@dataclass(frozen=True)
class JsonPart:
    """One JSON object a line."""

    path: Path
    packed: bool
    parse: bool = False
    _seen: list[str] = field(default_factory=list, compare=False)

    def names(self) -> list[str]:
        """Of all lines: BigQuery leaves out what is missing."""
        if not self._seen:
            found: dict[str, None] = {}
            for row in self._objects():
                found.update(dict.fromkeys(row))
            self._seen.extend(found)
        return list(self._seen)

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        objects = self._objects()
        while chunk := list(islice(objects, BATCH_ROWS)):
            yield pa.table({name: _column([row.get(name) for row in chunk]) for name in columns})

    def _objects(self) -> Iterator[dict[str, Any]]:
        try:
            with gzip.open(self.path, "rb") if self.packed else self.path.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    text = line.lstrip(b"\xef\xbb\xbf") if number == 1 else line
                    if text.strip():
                        yield self._object(text, number)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"file {self.path} is damaged ({first_line(error)}); copy it again") from error

    def _object(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            found = _decoder.decode(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadInput(f"file {self.path} is not UTF-8 in line {number} (byte {error.start}); save it so") from None
        except (ValueError, RecursionError) as error:
            hint = " (an object over several lines? write each on one)" if number < 3 else ""
            raise BadInput(f"line {number} of {self.path} is no JSON: {first_line(error)}{hint}") from None
        if not isinstance(found, dict):
            raise BadInput(f"line {number} of {self.path} is {type(found).__name__}; it must be an object of columns")
        return found


@dataclass(frozen=True)
class PlacedPart:
    """A file below folders like ``day=2024-10-01``, as Spark and Hive write them: each names a column and its value."""

    part: Part
    values: Mapping[str, str]
    parse: bool = False

    @property
    def path(self) -> Path:
        return self.part.path

    def names(self) -> list[str]:
        return [*self.part.names(), *self.values]

    def rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        inside = [name for name in columns if name not in self.values]
        for batch in self.part.rows(inside or self.part.names()[:1]):
            arrays = [
                batch.column(name) if name in inside else pa.array([self.values[name]] * batch.num_rows, pa.string())
                for name in columns
            ]
            yield pa.table(dict(zip(columns, arrays, strict=True)))


def _csv_part(path: Path, packed: bool, head: bytes) -> CsvPart:
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        text = head.decode(encoding, "strict" if encoding == "utf-8" else "ignore")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            raise BadInput(
                f"file {path} is not UTF-8 (byte {error.start}, {head[error.start : error.start + 1]!r}); "
                "save it as CSV UTF-8"
            ) from None
        text = head[: error.start].decode()
    text = text.removeprefix("\ufeff")
    skipped, told = 0, ""
    if text[:4].lower() == "sep=":  # Excel's line that names the separator
        told, skipped = text[4:5], 1
        text = text.partition("\n")[2]
    if told and told not in _DELIMITERS:
        raise BadInput(f"file {path} names the separator {shown(told)!r}; use comma, semicolon or tab")
    headers = {delimiter: _header(path, text, delimiter) for delimiter in ([told] if told else _DELIMITERS)}
    widest = max(len(names) for names, _ in headers.values())
    best = [delimiter for delimiter, (names, _) in headers.items() if len(names) == widest]
    if len(best) > 1 and widest > 1:
        raise BadInput(
            f"file {path} may be separated by {' or by '.join(_DELIMITERS[item] for item in best)}; quote the names "
            "in its first line, or export it as Parquet"
        )
    names, lines = headers[best[0]]
    return CsvPart(path, packed, tuple(name.strip() for name in names), best[0], skipped + lines, encoding)


def _header(path: Path, text: str, delimiter: str) -> tuple[list[str], int]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if any(name.strip() for name in row):
                return row, reader.line_num
    except csv.Error as error:
        raise BadInput(f"file {path} has no first line of column names ({error}); export it again") from None
    raise BadInput(f"file {path} is empty; export or copy it again")


def _csv_problem(error: Exception) -> str:
    text = first_line(error)
    if "invalid UTF8" in text:
        return "it is not UTF-8; save it as CSV UTF-8"
    if "Expected" in text and "columns, got" in text:
        return f"{text.removeprefix('CSV parse error: ')}; a row must have as many cells as the first line has names"
    return f"{text}; export it again"


def _column(values: list[Any]) -> pa.Array:
    """Values of one type as they are; numbers of several kinds as numbers; anything else as text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        if all(value is None or isinstance(value, bool | int | float) for value in values):
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {shown(next(name for name in names if names.count(name) > 1))!r} is there twice")
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_no_twins)


def first_line(error: Exception) -> str:
    return shown(str(error).partition("\n")[0], maximum=200)
