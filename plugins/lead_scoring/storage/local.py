"""Objects in a local folder: each object is a plain file under its own name.

How a write is one step: the bytes go to a private file below ``.tmp`` and to the disk first; then, under the folder's
lock, the precondition is checked and the private file is renamed over the object. A rename is atomic, so a reader sees
the old bytes or the new ones, and a writer that is killed leaves at most a private file, which a later writer removes.

The generation of an object is the modification time of its file in nanoseconds, set before the rename to a value above
that of the file it replaces. So bytes and generation change together, and an edit by hand changes the generation too.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lead_scoring.errors import NO_SPACE, BadInput, Conflict, Exhausted, LeadScoringError, NotFound, Transient
from lead_scoring.storage import StoredObject
from lead_scoring.storage.names import check_name

LOCK_FILE = ".lock"
PRIVATE_FOLDER = ".tmp"
LEFT_OVER_SECONDS = 24 * 3600.0  # no upload takes a day, so an older private file belongs to a writer that was killed
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
LASTING = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


class LocalStore:
    """:class:`~lead_scoring.storage.ObjectStore` in a folder, for processes and threads of one machine.

    :param root: the folder. It is created by the first write, never by a read.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()
        self.uri = str(self.root)
        self._swept = False

    def read(self, name: str) -> bytes:
        data, generation = self.read_generation(name)
        if generation == 0:
            raise self._missing(name)
        return data

    def read_generation(self, name: str) -> tuple[bytes, int]:
        path = self._path(name)
        try:
            with path.open("rb") as stream:  # bytes and time of one inode, which nobody writes to any more
                return stream.read(), _generation(os.fstat(stream.fileno()))
        except ABSENT:
            return b"", 0
        except OSError as error:
            raise self._failed("read", name, error) from error

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        return self._replace(name, lambda stream: _write_all(stream, data), if_generation)

    def upload(self, path: Path, name: str, *, if_generation: int | None = None) -> int:
        if not path.is_file():
            raise NotFound(f"file {path} does not exist; nothing was uploaded as {self.uri}/{name}")

        def copy(stream: BinaryIO) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, stream, 1 << 20)

        return self._replace(name, copy, if_generation)

    def fetch(self, name: str) -> Path:
        if not self.exists(name):
            raise self._missing(name)
        return self._path(name)

    def exists(self, name: str) -> bool:
        return self._generation(name) != 0

    def list(self, prefix: str = "") -> list[str]:
        folder, _, _ = prefix.rpartition("/")
        top = self.root / check_name(folder) if folder else self.root
        names = []

        def failed(error: OSError) -> None:  # a folder that may not be read must not look like an empty one
            if not isinstance(error, ABSENT):
                raise self._failed("list", prefix, error) from error

        for path, folders, files in os.walk(top, onerror=failed):
            folders[:] = [item for item in folders if not item.startswith(".")]
            inside = Path(path).relative_to(self.root)
            names += [(inside / item).as_posix() for item in files if not item.startswith(".")]
        return sorted(name for name in names if name.startswith(prefix))

    def entries(self, prefix: str = "") -> Sequence[StoredObject]:
        found = []
        for name in self.list(prefix):
            with suppress(*ABSENT):  # deleted since it was listed
                facts = self._path(name).stat()
                found.append(StoredObject(name, facts.st_size, dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC)))
        return found

    def delete(self, name: str) -> None:
        if not self.exists(name):
            return
        try:
            with self._locked():
                path = self._path(name)
                path.unlink(missing_ok=True)
                with suppress(OSError):  # up to the first folder that holds something else
                    while (path := path.parent) != self.root:
                        path.rmdir()
        except OSError as error:
            raise self._failed("delete", name, error) from error

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def _generation(self, name: str) -> int:
        """0 if there is no such object."""
        try:
            found = self._path(name).stat()
        except ABSENT:
            return 0
        except OSError as error:
            raise self._failed("look for", name, error) from error
        return _generation(found) if stat.S_ISREG(found.st_mode) else 0

    def _replace(self, name: str, fill: Callable[[BinaryIO], None], if_generation: int | None) -> int:
        target = self._path(name)
        self._check(name, if_generation)  # saves the copy; the check that counts is the one under the lock
        try:
            self._sweep()
            private = self.root / PRIVATE_FOLDER / uuid.uuid4().hex
            private.parent.mkdir(parents=True, exist_ok=True)
            try:
                with private.open("xb") as stream:
                    fill(stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                private.chmod(0o444)  # an object is replaced, never edited
                with self._locked():  # also over the making of the folder, which a deletion next to it may remove
                    target.parent.mkdir(parents=True, exist_ok=True)
                    standing = self._check(name, if_generation)
                    generation = _date(private, after=standing)
                    private.replace(target)
            except BaseException:
                with suppress(OSError):
                    private.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._failed("write", name, error) from error
        _sync_folder(target.parent)
        return generation

    def _check(self, name: str, if_generation: int | None) -> int:
        """The object's generation now, 0 if it does not exist. :raises Conflict: the precondition does not hold."""
        generation = self._generation(name)
        if if_generation is not None and generation != if_generation:
            raise Conflict(
                f"object {self.uri}/{name} has generation {generation}, expected {if_generation}; "
                "read it again and decide anew"
            )
        return generation

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        """The folder's lock: held only for a check and a rename, freed by the kernel when its holder is killed."""
        handle = os.open(self.root / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _sweep(self) -> None:
        """Remove what killed writers left, once for each store object that writes."""
        if self._swept:
            return
        self._swept = True
        for path in (self.root / PRIVATE_FOLDER).glob("*"):
            try:
                if path.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:  # its writer, or another sweeper, was faster
                continue

    def _missing(self, name: str) -> NotFound:
        return NotFound(f"object {self.uri}/{name} does not exist; check the folder and the name")

    def _failed(self, what: str, name: str, error: OSError) -> LeadScoringError:
        subject = f"cannot {what} {self.uri}/{name}: {error.strerror or error}"
        if error.errno in NO_SPACE:
            return Exhausted(f"{subject}; nothing was changed: free space in {self.uri} and try again")
        if error.errno in LASTING:
            return BadInput(f"{subject}; nothing was changed: check the folder's path, rights and mount")
        return Transient(f"{subject}; check the disk and try again")


def _generation(found: os.stat_result) -> int:
    """Never 0, which means "no such object": archives and image builders like to set the time to 0."""
    return max(found.st_mtime_ns, 1)


def _write_all(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)


def _date(path: Path, after: int) -> int:
    """Give the file a modification time above ``after`` and return it, also where the clock or the disk is coarse."""
    step = 1_000
    while True:
        wanted = max(time.time_ns(), after + step)
        os.utime(path, ns=(wanted, wanted))
        if (got := path.stat().st_mtime_ns) > after:
            return got
        step *= 10


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut. Readers have seen it already: a disk that cannot is no error here."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
