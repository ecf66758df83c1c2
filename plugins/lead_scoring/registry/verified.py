"""Where the files of a version lie in the models store, and the one way to read them: together with their check."""

from __future__ import annotations

from lead_scoring.errors import CheckFailed
from lead_scoring.model.native import check_version, package_files
from lead_scoring.registry.placed import WAY_BACK
from lead_scoring.stage import sha256_bytes
from lead_scoring.storage import ObjectStore

PRODUCTION = "production/"


def object_name(version: str, name: str) -> str:
    """Where a file of a version is stored. :param name: as in the manifest."""
    return f"{PRODUCTION}{name}" if version in name else f"{PRODUCTION}function_{version}/{name}"


def manifest_object(version: str) -> str:
    """Where the manifest of a version is stored. :raises BadInput: not a version id."""
    return PRODUCTION + package_files(check_version(version))["manifest"]


def read_verified(store: ObjectStore, name: str, sha256: str, says: str) -> bytes:
    """Bytes of an object, hashed as they were read: what was checked is what is used.

    :param says: who gave the SHA-256, for the message: ``the registry``, ``the manifest of v1-...``.
    :raises CheckFailed: the object is missing or has other bytes.
    """
    data, generation = store.read_generation(name)
    if generation == 0:
        raise CheckFailed(f"{store.uri}/{name} is missing; {WAY_BACK}")
    if (found := sha256_bytes(data)) != sha256:
        raise CheckFailed(f"{store.uri}/{name} has SHA-256 {found[:12]}, {says} says {sha256[:12]}; {WAY_BACK}")
    return data
