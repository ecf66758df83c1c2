"""A table that somebody brought, opened: its columns by name and its rows as batches, whatever it lies in."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.stage import canonical_json, sha256_bytes, sha256_file
from lead_scoring.storage import ObjectStore, open_store
from lead_scoring.tables.columns import Column, resolve
from lead_scoring.tables.formats import format_of
from lead_scoring.tables.parts import JsonPart, Part, PlacedPart, open_part
from lead_scoring.tables.values import ARROW, Misfit, convert
from lead_scoring.text import shown

_SAMPLE_VALUES = 200
_LAKES = {
    "_delta_log": "a Delta table, whose folder holds removed rows too",
    ".hoodie": "a Hudi table, whose folder holds removed rows too",
    "metadata": "an Iceberg table, whose folder holds removed rows too",
    "_temporary": "the output of a Spark job that has not finished",
}


@dataclass(frozen=True)
class OpenTable:
    """:param label: the table as it was named to us.
    :param digest: SHA-256 in hex over what it holds.
    :param store: keeps the copies of a bucket's objects for as long as the table is used.
    """

    label: str
    parts: tuple[Part, ...]
    digest: str
    store: ObjectStore | None = None

    @property
    def names(self) -> list[str]:
        """Of the first part; of JSON lines of all, since a missing value is left out there."""
        if all(isinstance(part, JsonPart) for part in self.parts):
            return list(dict.fromkeys(name for part in self.parts for name in part.names()))
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
    """Open a table: a file, a folder of part files, a pattern (``export-*.csv``), each also as ``gs://bucket/...``.

    :raises NotFound: there is none. :raises BadInput: it is no table; the error says what it is.
    """
    text = str(where)
    if "://" in text:
        store, files = _stored(text)
        return _opened(text, files, store)
    path = Path(where)
    if path.is_dir():
        return _opened(text, _files_in(path))
    if not path.exists() and "*" in path.name:
        files = {item.name: item for item in sorted(path.parent.glob(path.name)) if item.is_file()}
        if not files:
            raise NotFound(f"no file is named like {path}; give the path of a table")
        return _opened(text, files)
    return _opened(text, {path.name: path})


def find_table(folder: str | Path, name: str) -> str | None:
    """The file or folder in a folder or below an address that is called like the table, whatever its format.

    :raises BadInput: there are two.
    """
    found = [item for item in names_in(folder) if item.partition(".")[0] == name and not item.endswith(".md")]
    if len(found) > 1:
        raise BadInput(f"folder {folder} has {found[0]} and {found[1]} for one table; leave one of them there")
    return f"{str(folder).rstrip('/')}/{found[0]}" if found else None


def names_in(folder: str | Path) -> list[str]:
    """What lies in a folder or directly below an address, sorted; nothing if there is no such folder."""
    if "://" in str(folder):
        return sorted({name.partition("/")[0] for name in open_store(str(folder)).list()})
    return sorted(item.name for item in Path(folder).iterdir()) if Path(folder).is_dir() else []


def _opened(label: str, files: Mapping[str, Path], store: ObjectStore | None = None) -> OpenTable:
    """:param files: name below the table's folder to file."""
    kinds = {name: format_of(path)[0] for name, path in files.items()}
    if len(set(kinds.values())) > 1:
        one, other = (
            next(name for name, kind in kinds.items() if kind == item) for item in sorted(set(kinds.values()))[:2]
        )
        raise BadInput(f"{label} holds files of two formats, {one} and {other}; give a folder of one table")
    parts: list[Part] = []
    for name, path in files.items():
        part = open_part(path)
        values = dict(_value_of(folder) for folder in name.split("/")[:-1] if "=" in folder)
        parts.append(PlacedPart(part, values) if values else part)
    first = parts[0].names()
    for part in parts[1:]:
        differing = sorted(set(first) ^ set(part.names()))
        if differing and not isinstance(part, JsonPart):
            raise BadInput(
                f"the parts of {label} have different columns: {shown(differing[0])!r} is not in both "
                f"{parts[0].path.name} and {part.path.name}; export them anew"
            )
    digests = [sha256_file(path) for path in files.values()]
    if len(digests) == 1:
        return OpenTable(label, tuple(parts), digests[0], store)
    return OpenTable(label, tuple(parts), sha256_bytes(canonical_json([*zip(files, digests, strict=True)])), store)


def _value_of(folder: str) -> tuple[str, str]:
    name, _, value = folder.partition("=")
    return unquote(name), "" if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)


def _files_in(folder: Path) -> dict[str, Path]:
    names = [item.relative_to(folder).as_posix() for item in sorted(folder.rglob("*")) if item.is_file()]
    return {name: folder / name for name in _data_files(str(folder), names)}


def _data_files(label: str, names: Sequence[str]) -> list[str]:
    """The part files: not what begins with a dot or an underscore, as Spark, Hive and Finder put beside them.

    :raises NotFound: there is none. :raises BadInput: the folder is more than the files in it.
    """
    tops = {name.split("/")[0] for name in names if "/" in name}
    for mark, what in _LAKES.items():
        if mark in tops and (mark != "metadata" or any(name.endswith(".metadata.json") for name in names)):
            raise BadInput(f"{label} is {what}; export the table as Parquet")
    data = [name for name in names if not any(part.startswith((".", "_")) for part in name.split("/"))]
    if not data:
        raise NotFound(f"folder {label} has no data files; give a table, or a folder of its part files")
    return data


def _stored(address: str) -> tuple[ObjectStore, dict[str, Path]]:
    """The objects of a table in a bucket, fetched: one object, those below a prefix, or those like a pattern."""
    parent, _, name = address.rstrip("/").rpartition("/")
    if parent in {"gs:/", "gs:"} or not name:
        raise BadInput(f"address {address!r} names no object; give gs://bucket/path/of/table.csv")
    store = open_store(parent)
    if "*" in name:
        names = [found for found in store.list() if "/" not in found and fnmatch.fnmatchcase(found, name)]
    elif store.exists(name):
        return store, {name: store.fetch(name)}
    else:
        inside = [found.removeprefix(f"{name}/") for found in store.list(f"{name}/")]
        names = [f"{name}/{found}" for found in _data_files(address, inside)] if inside else []
    if not names:
        raise NotFound(f"object {address} does not exist; check bucket and name")
    return store, {found.removeprefix(f"{name}/"): store.fetch(found) for found in names}


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
    columns = [column for column in wanted if fill or column.name in found]
    schema = pa.schema([(column.name, ARROW[column.kind]) for column in columns])
    read = [found[column.name] for column in columns if column.name in found]
    rows = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for part in table.parts:
            before = 0
            for batch in part.rows(read):
                arrays = [
                    _converted(batch, column, found.get(column.name), f"{label}{_of(part, table)}", before, part)
                    for column in columns
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                before += batch.num_rows
            rows += before
    return Taken(found, out, rows)


def _converted(batch: pa.Table, column: Column, name: str | None, label: str, before: int, part: Part) -> pa.Array:
    if name is None:
        return pa.nulls(batch.num_rows, ARROW[column.kind])
    parse = part.parse or (isinstance(part, PlacedPart) and (part.part.parse or name in part.values))
    try:
        return convert(batch.column(name).combine_chunks(), column.kind, parse=parse)
    except Misfit as wrong:
        if not column.matters:  # nothing is computed from it, so whatever it holds stops nothing
            return pa.nulls(batch.num_rows, ARROW[column.kind])
        row = "" if wrong.place is None else f" (row {before + wrong.place + 1:,})"
        raise BadInput(f"column {shown(name)!r} of {label} {wrong.problem}{row}") from None


def _of(part: Part, table: OpenTable) -> str:
    return f" ({part.path.name})" if len(table.parts) > 1 else ""
