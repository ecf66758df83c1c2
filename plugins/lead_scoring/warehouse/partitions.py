"""Partitions of the embedded warehouse: immutable Parquet files and one pointer that is replaced in one step.

``<root>/<table>/<partition>/<digest>/part-00000.parquet`` never changes once it has its name. ``current.json`` beside
it names the digest that counts. A reader that resolved the pointer keeps reading what it resolved: the content before
the current one is kept until the next replacement. A process that is killed leaves the old pointer or the new one.

Writers of one partition go one after the other, under its lock: a writer that forgot old content while another had
placed its own and not yet pointed at it would leave a pointer to nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.stage import canonical_json, sha256_file
from lead_scoring.warehouse import PartitionInfo

POINTER = "current.json"
LOCK_FILE = ".lock"
INCOMING = ".incoming-"
LEFT_OVER_SECONDS = 24 * 3600.0  # no copy takes a day, so older content without a name belongs to a killed writer
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,99}")
_PARTITION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class PartitionFolder:
    """All tables of the embedded warehouse below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def tables(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(item.name for item in self.root.iterdir() if _TABLE.fullmatch(item.name) and self._any(item))

    def partitions(self, table: str) -> list[str]:
        """Sorted names. :raises NotFound: there is no such table."""
        folder = self.root / table
        names = sorted(item.parent.name for item in folder.glob(f"*/{POINTER}")) if folder.is_dir() else []
        if not names:
            raise NotFound(
                f"table {table!r} is not in the warehouse {self.root}; it has {self.tables()}. "
                "Load it first: `lead-scoring load --source DIR`, or `lead-scoring sample --out DIR --load`"
            )
        return names

    def info(self, table: str, partition: str) -> PartitionInfo | None:
        pointer = self._pointer(table, partition)
        if pointer is None:
            return None
        return PartitionInfo(table, partition, int(pointer["rows"]), str(pointer["digest"]))

    def files(self, table: str) -> list[Path]:
        """The files that hold the table now, by partition. :raises NotFound: there is no such table."""
        paths = []
        for partition in self.partitions(table):
            pointer = self._pointer(table, partition)
            if pointer is not None:
                folder = self.root / table / partition / str(pointer["digest"])
                paths += [folder / str(name) for name in pointer["files"]]
        return paths

    def fingerprint(self, tables: Sequence[str]) -> str:
        content = {
            table: {
                partition: (self._pointer(table, partition) or {}).get("digest") for partition in self.partitions(table)
            }
            for table in sorted(set(tables))
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()[:16]

    def replace(self, table: str, partition: str, files: Sequence[Path]) -> PartitionInfo:
        """:raises BadInput: a name cannot be used, there is no file, or the files have different columns."""
        if not _TABLE.fullmatch(table) or not _PARTITION.fullmatch(partition):
            raise BadInput(f"partition {table}/{partition} has a name that is not letters, digits, '_', '-' and '.'")
        if not files:
            raise BadInput(f"partition {table}/{partition} got no files; pass one with no rows to empty it")
        schemas = [pq.read_schema(path) for path in files]
        if any(not other.equals(schemas[0]) for other in schemas[1:]):
            raise BadInput(f"files for {table}/{partition} have different columns; write them with one schema")
        rows = sum(pq.read_metadata(path).num_rows for path in files)
        digest = hashlib.sha256(canonical_json([sha256_file(path) for path in files])).hexdigest()[:16]
        folder = self.root / table / partition
        names = [f"part-{number:05d}.parquet" for number in range(len(files))]
        with _locked(folder):
            self._write_content(folder, digest, files, names)
            before = self._pointer(table, partition)
            self._point(folder, {"digest": digest, "rows": rows, "files": names})
            self._forget(folder, keep={digest, str(before["digest"]) if before else digest})
        return PartitionInfo(table, partition, rows, digest)

    def drop(self, table: str, partition: str) -> PartitionInfo | None:
        """The pointer goes first, so a reader sees the partition or none, and a drop that is killed has dropped it."""
        folder = self.root / table / partition
        if (held := self.info(table, partition)) is None:
            return None
        with _locked(folder):
            (folder / POINTER).unlink(missing_ok=True)
            self._remove(folder)
        return held

    def vacuum(self, *, dry_run: bool = False) -> int:
        """Remove content that was replaced or dropped more than a day ago.

        Replacing a partition keeps the content before for those who still read it; after a day nobody does.

        :return: bytes.
        """
        freed = 0
        for folder in sorted(self.root.glob("*/*/")):
            if not _TABLE.fullmatch(folder.parent.name):
                continue
            with _locked(folder):
                pointer = self._pointer(folder.parent.name, folder.name)
                standing = str(pointer["digest"]) if pointer else None
                if not _old(folder / POINTER if pointer else folder):  # content was replaced less than a day ago
                    continue
                unread = [item for item in folder.iterdir() if item.is_dir() and item.name != standing]
                freed += sum(path.stat().st_size for item in unread for path in item.rglob("*"))
                if dry_run:
                    continue
                for item in unread:
                    shutil.rmtree(item, ignore_errors=True)
                if pointer is None:
                    self._remove(folder)
        return freed

    @staticmethod
    def _remove(folder: Path) -> None:
        """Remove a partition's folder, whose lock is held. Who waits for the lock makes the folder anew."""
        for item in folder.iterdir():
            if item.is_dir():
                shutil.rmtree(item, ignore_errors=True)
            elif item.name != LOCK_FILE:
                item.unlink(missing_ok=True)
        (folder / LOCK_FILE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: somebody waits and has made a lock file of his own
            folder.rmdir()

    def _write_content(self, folder: Path, digest: str, files: Sequence[Path], names: Sequence[str]) -> None:
        """Copy to a private folder, then give it its name in one step. Content that is there already is the same."""
        target = folder / digest
        if target.is_dir():
            return
        private = folder / f"{INCOMING}{uuid.uuid4().hex[:12]}"
        private.mkdir()
        for path, name in zip(files, names, strict=True):
            shutil.copyfile(path, private / name)
            _flush_to_disk(private / name)
        private.rename(target)

    def _point(self, folder: Path, pointer: dict[str, object]) -> None:
        private = folder / f".{POINTER}-{uuid.uuid4().hex[:12]}"
        private.write_bytes(canonical_json(pointer))
        _flush_to_disk(private)
        private.replace(folder / POINTER)

    def _forget(self, folder: Path, keep: set[str]) -> None:
        """Remove content that nobody reads any more, and what killed writers left."""
        for item in folder.iterdir():
            if not item.is_dir():
                continue
            left_over = item.name.startswith(INCOMING) and _old(item)
            if left_over or (not item.name.startswith(".") and item.name not in keep):
                shutil.rmtree(item, ignore_errors=True)

    def _pointer(self, table: str, partition: str) -> dict[str, Any] | None:
        path = self.root / table / partition / POINTER
        with contextlib.suppress(FileNotFoundError):
            data: dict[str, Any] = json.loads(path.read_bytes())
            return data
        return None

    @staticmethod
    def _any(folder: Path) -> bool:
        return any(folder.glob(f"*/{POINTER}"))


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """The partition's lock, between processes and threads. The kernel frees it when its holder is killed."""
    path = folder / LOCK_FILE
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the folder was dropped just now
            continue
        except FileExistsError:  # it was there for mkdir, and was dropped before mkdir looked at what it is
            if folder.exists() and not folder.is_dir():
                raise
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _same_file(path, handle):  # else its holder dropped the folder and the lock with it
                yield
                return
        finally:
            os.close(handle)


def _same_file(path: Path, handle: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False


def _old(path: Path) -> bool:
    """Whether nobody can be writing or reading it any more."""
    return path.stat().st_mtime < time.time() - LEFT_OVER_SECONDS


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
