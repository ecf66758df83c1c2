"""Objects with preconditions. One interface, two backends: a local folder and Cloud Storage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.storage.interface import ObjectStore, StoredObject

__all__ = ["ObjectStore", "StoredObject", "open_store"]


def open_store(uri: str | Path, client: Any = None) -> ObjectStore:
    """The store behind a folder path or ``gs://bucket/prefix``. :raises BadInput: another kind of address.

    :param client: a ``google.cloud.storage.Client`` for the second; by default one is made with the credentials of the
        environment.
    """
    text = str(uri)
    if not text.startswith("gs://") and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):
        raise BadInput(f"storage address {text!r} is no folder and not gs://bucket/prefix; give one of these")
    if text.startswith("gs://"):
        try:
            from lead_scoring.storage.gcs import GcsStore
        except ModuleNotFoundError as error:  # the deployed function carries neither the module nor Google's client
            raise BadInput(f"{text} cannot be read here ({error}); give a folder, or install the library") from error

        return GcsStore(text, client)
    from lead_scoring.storage.local import LocalStore

    return LocalStore(Path(text))
