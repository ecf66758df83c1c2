"""Files that a command writes: under private names first, then all of them under their own at once.

Two commands that write to one name leave the files of one of them, whole. A command that is killed leaves its private
file, which the next one that writes to the same name removes: the writer holds a lock on it as long as it lives.
"""

from __future__ import annotations

import fcntl
import glob
import os
import uuid
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lead_scoring.errors import BadInput

_PRIVATE = ".partial-"


@contextmanager
def replacing(paths: Sequence[Path]) -> Generator[list[Path], None, None]:
    """Private paths, each beside one of ``paths`` and with its suffix, to be written in the block.

    When the block ends well they are renamed to their names, together: a folder is locked for the renames, so that two
    commands that end at once do not mix their files. When it ends otherwise they are removed.

    :raises BadInput: a path is a folder, or lies in what is no folder.
    """
    with ExitStack() as stack:
        private = [stack.enter_context(_private(path)) for path in paths]
        yield private
        for folder in sorted({path.parent for path in paths}):
            stack.enter_context(_locked(folder))
        for written, path in zip(private, paths, strict=True):
            written.replace(path)


def local_file(text: str) -> Path:
    """A path of this machine. :raises BadInput: it is an address."""
    if "://" in text:
        raise BadInput(
            f"{text!r} is an address; this file is written to a local path: give one, and copy it from there"
        )
    return Path(text)


@contextmanager
def _private(path: Path) -> Generator[Path, None, None]:
    if path.is_dir():
        raise BadInput(f"{path} is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{path.parent} is no folder; give another path") from None
    written = path.with_name(f"{_PRIVATE}{uuid.uuid4().hex}-{path.name}")
    with _locked(path.parent):  # nobody sweeps between the making of the file and its lock
        _sweep(path)
        handle = os.open(written, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield written
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):  # it has its own name by now
            written.unlink()


def _sweep(path: Path) -> None:
    """Remove the private files of this name whose writers are gone."""
    for left in path.parent.glob(f"{_PRIVATE}*-{glob.escape(path.name)}"):
        with suppress(FileNotFoundError, BlockingIOError):  # its writer lives, or has just ended
            handle = os.open(left, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(handle)


@contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
