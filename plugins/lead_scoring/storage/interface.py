"""What every object store does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class StoredObject:
    """:param bytes: its size. :param written: when, by the store's clock, in UTC."""

    name: str
    bytes: int
    written: dt.datetime


class ObjectStore(Protocol):
    """A flat name space of immutable-or-versioned objects. Names use forward slashes on every system.

    ``if_generation`` is a precondition as Cloud Storage has it: 0 means "only if it does not exist", n means "only if
    its generation is n still", None means "whatever is there".
    """

    uri: str

    def read(self, name: str) -> bytes:
        """:raises NotFound: there is no such object."""
        ...

    def read_generation(self, name: str) -> tuple[bytes, int]:
        """Bytes and the generation they belong to. (b"", 0) if there is no such object."""
        ...

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        """Replace in one step and return the new generation.

        :raises Conflict: the precondition did not hold. Nothing was written.
        """
        ...

    def upload(self, path: Path, name: str, *, if_generation: int | None = None) -> int:
        """Like :meth:`write`, from a file of any size."""
        ...

    def fetch(self, name: str) -> Path:
        """A local, read-only path with the object's bytes. :raises NotFound: there is no such object."""
        ...

    def exists(self, name: str) -> bool: ...

    def list(self, prefix: str = "") -> list[str]:
        """Names that start with ``prefix``, sorted."""
        ...

    def entries(self, prefix: str = "") -> Sequence[StoredObject]:
        """The objects behind :meth:`list`, with size and time."""
        ...

    def delete(self, name: str) -> None:
        """No error if it does not exist."""
        ...
