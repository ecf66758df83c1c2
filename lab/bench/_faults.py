"""Kill or fail a piece of work at each point where it changes the disk.

The work runs in a forked child. An audit hook sees each call that changes the disk before it is made, and at the chosen
one sends the child SIGKILL or raises an ``OSError`` in place of the call. So "at every write boundary" is counted, not
sampled, and the tests and the benchmark use the same count.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_scoring.errors import LeadScoringError

CHANGES = frozenset({"os.rename", "os.mkdir", "os.chmod", "os.utime", "os.remove", "os.link", "fcntl.flock"})
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LINUX_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h


@dataclass(frozen=True)
class Outcome:
    """How the child ended.

    :param status: ``done``, ``refused`` (an error of ours), ``broken`` (any other error) or ``killed``.
    :param boundaries: calls that changed the disk, as far as it came; 0 if it was killed.
    """

    status: str
    message: str = ""
    boundaries: int = 0


def attempt(
    work: Callable[[], object], *, at: int = 0, error: int = 0, prepare: Callable[[], None] | None = None
) -> Outcome:
    """Run ``work`` in a child.

    :param at: number of the disk call to interfere with, from 1; 0 for none.
    :param error: errno to raise there; 0 to kill.
    :param prepare: called in the child first: limits, lost rights.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _run(work, at, error, prepare, send)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        report = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Outcome("killed", f"signal {os.WTERMSIG(status)}")
    return Outcome(**json.loads(report))


def count_boundaries(work: Callable[[], object]) -> int:
    """Disk calls of an undisturbed run. :raises RuntimeError: it did not succeed."""
    outcome = attempt(work)
    if outcome.status != "done":
        raise RuntimeError(f"the undisturbed run ended {outcome.status}: {outcome.message}")
    return outcome.boundaries


def without_rights() -> None:
    """Take root's power over file modes from this process, so that a folder without write permission is read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def with_file_size_limit(limit_bytes: int) -> Callable[[], None]:
    """A limit of the kernel's on the size of any file this process writes: a write past it fails half-way."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))


def on_small_disk(folder: Path, size: str, *, read_only: bool = False) -> Callable[[], None]:
    """A tmpfs of its own over ``folder``, which only the child sees and which ends with it. Needs CAP_SYS_ADMIN."""
    new_namespace, private, read_only_remount = 0x00020000, 0x4000 | 0x40000, 0x20 | 0x1

    def prepare() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        contents = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for call in (
            lambda: libc.unshare(new_namespace),
            lambda: libc.mount(None, b"/", None, private, None),
            lambda: libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()),
        ):
            if call() != 0:
                raise OSError(ctypes.get_errno(), "cannot mount a small disk")
        for name, data in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        if read_only and libc.mount(None, os.fsencode(folder), None, read_only_remount, None) != 0:
            raise OSError(ctypes.get_errno(), "cannot make the small disk read-only")

    return prepare


def _run(
    work: Callable[[], object], at: int, error: int, prepare: Callable[[], None] | None, send: int
) -> None:  # never returns
    count, watching = 0, False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        changes = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING)
        if not watching or not changes:
            return
        count += 1
        if count == at and error:
            raise OSError(error, os.strerror(error))
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def synced(fd: Any) -> None:
        """A boundary like any other (it has no audit event of its own), but no wait: a kill is not a power cut."""
        hook("os.rename", ())

    report = Outcome("broken", "the child ended without a word")
    try:
        if prepare is not None:
            prepare()
        os.fsync = synced
        sys.addaudithook(hook)
        watching = True
        work()
        watching = False
        report = Outcome("done", "", count)
    except LeadScoringError as refusal:
        watching = False
        report = Outcome("refused", f"{type(refusal).__name__}: {refusal}", count)
    except BaseException as other:  # noqa: BLE001 - reported to the parent, which judges it
        watching = False
        report = Outcome("broken", f"{type(other).__name__}: {other}", count)
    finally:
        os.write(send, json.dumps(report.__dict__).encode())
        os._exit(0)
