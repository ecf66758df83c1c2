"""The files of a version in the store: published once, read only after their digests matched.

``production/manifest_<version>.json`` is written last, so a version without it does not exist. No file of a version
ever changes. A file whose name carries the version lies in ``production/``; the function's code
(``cloud_function_code.py`` and its neighbours) in ``production/function_<version>/``, and a promotion copies it to
``production/``, from where it is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lead_scoring.errors import BadInput, CheckFailed, Conflict, NotFound
from lead_scoring.model.native import VERSION, PackageManifest, package_files
from lead_scoring.registry import EventLog, fold
from lead_scoring.registry.placed import CHAMPION_FILE, champion_bytes
from lead_scoring.registry.verified import PRODUCTION, manifest_object, object_name, read_verified
from lead_scoring.stage import sha256_bytes, sha256_file
from lead_scoring.storage import ObjectStore

LIBRARY = PRODUCTION + "lead_scoring/"  # the placed modules of this library, nobody else's


@dataclass(frozen=True)
class Package:
    """A version whose manifest is the registered one.

    Each file is read together with its check, so the bytes that were hashed are the bytes that are used.

    :param status: staged, production, archived or rejected.
    """

    store: ObjectStore
    version: str
    status: str
    manifest: PackageManifest
    manifest_digest: str

    def read(self, name: str) -> bytes:
        """Bytes of one file, by its logical name (``booster``, ``scorer``, ``pickle``...) or its name in the manifest.

        :raises CheckFailed: the bytes are not the packaged ones. :raises NotFound: the version has no such file.
        """
        return _read_checked(self.store, self.manifest, package_files(self.version).get(name, name))

    def read_all(self) -> dict[str, bytes]:
        """Bytes of every file but the manifest, by name in the manifest. :raises CheckFailed: as for :meth:`read`."""
        return {name: self.read(name) for name in sorted(self.manifest.files)}


def publish_package(store: ObjectStore, files: Mapping[str, Path], version: str) -> str:
    """Put a package into ``production/``, the manifest last, and return the manifest's SHA-256.

    The same bytes again change nothing, so a retry after a kill finishes what was begun.

    :param files: name as in the manifest, or the manifest's own name, to local path.
    :raises BadInput: the manifest is missing, or it and the files do not agree.
    :raises Conflict: a file of this version exists with other bytes.
    """
    target = manifest_object(version)
    manifest_name = target.removeprefix(PRODUCTION)
    if manifest_name not in files:
        raise BadInput(f"package {version} has no {manifest_name}; package the model again")
    data = files[manifest_name].read_bytes()
    manifest = PackageManifest.from_bytes(data, manifest_name)
    if manifest.version_id != version:
        raise BadInput(f"{manifest_name} is the manifest of {manifest.version_id}, not of {version}; package again")
    if unlisted := sorted(set(files) - set(manifest.files) - {manifest_name}):
        raise BadInput(f"{unlisted[0]} is not in {manifest_name}; every file needs its digest there: package again")
    for name, facts in manifest.files.items():
        if name not in files:
            raise BadInput(f"package {version} lacks {name}, which its manifest lists; package the model again")
        if (found := sha256_file(files[name])) != facts["sha256"]:
            raise BadInput(f"{name} has SHA-256 {found[:12]}, its manifest says {facts['sha256'][:12]}; package again")
    for name in sorted(manifest.files):
        _publish_once(store, files[name], object_name(version, name))
    _publish_once(store, files[manifest_name], target)
    return sha256_bytes(data)


def restore_package(store: ObjectStore, files: Mapping[str, Path], version: str, manifest_digest: str) -> None:
    """Write what is damaged or missing of a version anew, from a package that is the same byte for byte.

    :param files: as for :func:`publish_package`: the version, made again of the same inputs.
    :param manifest_digest: of the version's manifest, as the registry has it.
    :raises CheckFailed: what was made again is another package.
    """
    target = manifest_object(version)
    manifest_name = target.removeprefix(PRODUCTION)
    data = files[manifest_name].read_bytes()
    if sha256_bytes(data) != manifest_digest:
        raise CheckFailed(
            f"version {version} is damaged in {store.uri}, and what was made again has other bytes (another code or "
            "verdict of the gate): restore its files from a backup of the store, or release as of another date"
        )
    manifest = PackageManifest.from_bytes(data, manifest_name)
    for name in [*sorted(manifest.files), manifest_name]:
        stored = target if name == manifest_name else object_name(version, name)
        if store.read_generation(stored)[0] != files[name].read_bytes():
            store.upload(files[name], stored)


def stored_manifest_digest(store: ObjectStore, version: str) -> str:
    """SHA-256 of the manifest in the store. :raises NotFound: there is no such version."""
    name = manifest_object(version)
    data, generation = store.read_generation(name)
    if generation == 0:
        raise NotFound(f"version {version} has no {store.uri}/{name}; publish the package first")
    return sha256_bytes(data)


def open_package(store: ObjectStore, version: str | None = None) -> Package:
    """A registered version, its manifest checked against the registry.

    :param version: None for the champion.
    :raises NotFound: it is not registered, or nothing is in production.
    :raises CheckFailed: the manifest is not the registered one, or the registry's events were changed or lost.
    """
    state = fold(EventLog(store).read_whole())
    if version is None and state.champion is None:
        raise NotFound(f"the registry in {store.uri} has no production version; promote one with `registry promote`")
    entry = state.entry(version or str(state.champion))
    manifest = registered_manifest(store, entry.version_id, entry.manifest_digest)
    return Package(store, entry.version_id, entry.status, manifest, entry.manifest_digest)


def registered_manifest(store: ObjectStore, version: str, manifest_digest: str) -> PackageManifest:
    """The manifest of a version. :raises CheckFailed: it is missing, or its SHA-256 is not the registered one."""
    name = manifest_object(version)
    data = read_verified(store, name, manifest_digest, "the registry")
    return PackageManifest.from_bytes(data, f"{store.uri}/{name}")


def check_files(store: ObjectStore, version: str, manifest_digest: str) -> PackageManifest:
    """Compare the manifest with the registered digest and every file with the manifest.

    :raises CheckFailed: something is missing or has other bytes.
    """
    manifest = registered_manifest(store, version, manifest_digest)
    for name in manifest.files:
        _read_checked(store, manifest, name)
    return manifest


def place_function(store: ObjectStore, version: str, manifest_digest: str) -> None:
    """Copy the version's function code to ``production/``, so that the folder deploys the champion as it is.

    ``champion.json`` comes last: it pins version and bytes where the folder is deployed away from the registry. Modules
    of the library that this version does not have are removed.

    :raises CheckFailed: a file is not the one that was packaged. Nothing was copied.
    """
    manifest = registered_manifest(store, version, manifest_digest)
    code = {name: _read_checked(store, manifest, name) for name in _code(manifest)}
    for name, data in {**code, CHAMPION_FILE: champion_bytes(version, manifest_digest)}.items():
        standing, generation = store.read_generation(PRODUCTION + name)
        if generation == 0 or standing != data:
            store.write(PRODUCTION + name, data)
    for name in store.list(LIBRARY):
        if name.removeprefix(PRODUCTION) not in code:
            store.delete(name)


def check_placed(store: ObjectStore, version: str, manifest_digest: str) -> None:
    """Compare the function code in ``production/`` with the champion's manifest.

    :raises CheckFailed: a file is missing, has other bytes, or is none of the champion's.
    """
    manifest = registered_manifest(store, version, manifest_digest)
    wanted = {name: manifest.files[name]["sha256"] for name in _code(manifest)}
    wanted[CHAMPION_FILE] = sha256_bytes(champion_bytes(version, manifest_digest))
    remedy = f"promote {version} again: that places its function code anew"
    for name, digest in wanted.items():
        data, generation = store.read_generation(PRODUCTION + name)
        if generation == 0:
            raise CheckFailed(f"{store.uri}/{PRODUCTION}{name} is missing from the placed function code; {remedy}")
        if (found := sha256_bytes(data)) != digest:
            raise CheckFailed(
                f"{store.uri}/{PRODUCTION}{name} has SHA-256 {found[:12]}, {version} has {digest[:12]}; {remedy}"
            )
    for name in (item.removeprefix(PRODUCTION) for item in store.list(PRODUCTION)):
        # Python's own caches appear where the folder is tried out in place; they are made from the files above.
        if name not in wanted and VERSION.search(name) is None and "__pycache__/" not in name:
            raise CheckFailed(f"{store.uri}/{PRODUCTION}{name} is no file of {version}; delete it before you deploy")


def _code(manifest: PackageManifest) -> list[str]:
    """The function's code: the files whose name does not carry the version."""
    return sorted(name for name in manifest.files if manifest.version_id not in name)


def _read_checked(store: ObjectStore, manifest: PackageManifest, name: str) -> bytes:
    version = manifest.version_id
    if name not in manifest.files:
        raise NotFound(f"version {version} has no file {name!r}; it has {sorted(manifest.files)}")
    says = f"the manifest of {version}"
    return read_verified(store, object_name(version, name), manifest.files[name]["sha256"], says)


def _publish_once(store: ObjectStore, path: Path, name: str) -> None:
    try:
        store.upload(path, name, if_generation=0)
    except Conflict as error:
        if sha256_bytes(store.read(name)) != sha256_file(path):
            raise Conflict(
                f"{store.uri}/{name} exists with other bytes; a version's files never change: package the model under "
                "a new version (another as-of date or model), or delete the file if no manifest of the version exists"
            ) from error
