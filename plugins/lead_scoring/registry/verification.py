"""``verify``: is a version in the store the one that was packaged and registered?"""

from __future__ import annotations

from typing import Any

from lead_scoring.registry.package import check_files, open_package
from lead_scoring.storage import ObjectStore


def verify(store: ObjectStore, version: str) -> dict[str, Any]:
    """Check every byte of a version.

    :return: JSON values: ``version_id``, ``status``, ``manifest_digest``, ``files`` checked.
    :raises CheckFailed: something is missing or has other bytes.
    :raises NotFound: the version is not registered.
    """
    package = open_package(store, version)
    manifest = check_files(store, version, package.manifest_digest)
    return {
        "version_id": version,
        "status": package.status,
        "manifest_digest": package.manifest_digest,
        "files": len(manifest.files) + 1,
    }
