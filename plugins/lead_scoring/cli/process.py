"""A command as a process: its scratch folder goes with it, also the one of a killed command; a signal is one line."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PREFIX = "lead-scoring-scratch-"
_LOCK = ".lock"


class Stopped(BaseException):
    """A signal asked the process to end. Not an Exception: nothing on the way takes it for a failure of its work."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.name = signal.Signals(number).name


@contextmanager
def scratch_folder() -> Generator[Path, None, None]:
    """A folder in which every temporary file of this process lies; it is removed at the end.

    Those of commands that were killed are removed first: the lock on such a folder is free.
    """
    place = Path(tempfile.gettempdir())
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, one that is in use, or one that its owner removes now
            if folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


@contextmanager
def stopping() -> Generator[None, None, None]:
    """SIGINT and SIGTERM raise :class:`Stopped`, so that everything on the way is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: Any) -> None:
        for other in numbers:  # a second one does not interrupt the cleaning
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
