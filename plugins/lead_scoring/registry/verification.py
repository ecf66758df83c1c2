"""``verify``: is a version in the store the one that was packaged and registered, and by whom was it signed?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lead_scoring.errors import CheckFailed
from lead_scoring.registry.package import check_files, check_placed, open_package
from lead_scoring.registry.signing import signed_by
from lead_scoring.registry.unpickle import load_pickle
from lead_scoring.storage import ObjectStore

Loader = Callable[[ObjectStore, str | None], str]  # store and version (None: the champion) to SHA-256 of its manifest


def verify(
    store: ObjectStore,
    version: str,
    *,
    keys: Path | None = None,
    scorer: Loader | None = None,
) -> dict[str, Any]:
    """Check every byte of a version: events, manifest, files, pickle, signature; of the champion also the placed code.

    :param keys: folder of trusted public keys; see :mod:`lead_scoring.registry.signing`.
    :param scorer: also load a scorer with it (feature names, library versions, golden scores are the scorer's checks);
        gives the digest of the manifest that it loaded, which must be the registered one.
    :return: JSON values: ``version_id``, ``status``, ``manifest_digest``, ``files``, ``signed_by``, ``libraries``.
    :raises CheckFailed: something is missing, has other bytes, or fits no key.
    :raises NotFound: the version is not registered.
    """
    package = open_package(store, version)
    manifest = check_files(store, version, package.manifest_digest)
    load_pickle(package)
    if scorer is not None and (found := scorer(store, version)) != package.manifest_digest:
        raise CheckFailed(f"the scorer loads {version} with manifest {found[:12]}, not {package.manifest_digest[:12]}")
    if package.status == "production":
        check_placed(store, version, package.manifest_digest)
    return {
        "version_id": version,
        "status": package.status,
        "manifest_digest": package.manifest_digest,
        "files": len(manifest.files) + 1,
        "signed_by": signed_by(package, keys),
        "libraries": dict(manifest.libraries),
    }
