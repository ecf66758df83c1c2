"""A part of a store as a store of its own: the same client, shorter names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lead_scoring.storage import ObjectStore, StoredObject
from lead_scoring.storage.names import check_name


class Below:
    """:class:`~lead_scoring.storage.ObjectStore` over the objects of another one below a prefix.

    :param prefix: without the slash at its end, for example ``production``.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, f"{check_name(prefix)}/"
        self.uri = f"{store.uri}/{prefix}"

    def read(self, name: str) -> bytes:
        return self._store.read(self._prefix + check_name(name))

    def read_generation(self, name: str) -> tuple[bytes, int]:
        return self._store.read_generation(self._prefix + check_name(name))

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        return self._store.write(self._prefix + check_name(name), data, if_generation=if_generation)

    def upload(self, path: Path, name: str, *, if_generation: int | None = None) -> int:
        return self._store.upload(path, self._prefix + check_name(name), if_generation=if_generation)

    def fetch(self, name: str) -> Path:
        return self._store.fetch(self._prefix + check_name(name))

    def exists(self, name: str) -> bool:
        return self._store.exists(self._prefix + check_name(name))

    def list(self, prefix: str = "") -> list[str]:
        return [name.removeprefix(self._prefix) for name in self._store.list(self._prefix + prefix)]

    def entries(self, prefix: str = "") -> Sequence[StoredObject]:
        found = self._store.entries(self._prefix + prefix)
        return [replace(item, name=item.name.removeprefix(self._prefix)) for item in found]

    def delete(self, name: str) -> None:
        self._store.delete(self._prefix + check_name(name))
