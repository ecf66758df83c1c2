"""Loading a version: nothing of it is used before the whole package has been checked.

In this order: the manifest against the digest in the registry's event log, every file against the manifest, the version
id against the bytes that decide a score, the feature names and their order, the library versions, and last the golden
scores, which are computed again and must agree within 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.model.calibrators import Calibrator, calibrator_from_dict
from lead_scoring.model.native import (
    PackageManifest,
    ScorerSpec,
    canonical_model_bytes,
    check_version,
    package_files,
    read_scorer,
    version_id,
)
from lead_scoring.registry import EventLog, fold
from lead_scoring.registry.placed import CHAMPION_FILE, WAY_BACK, read_champion
from lead_scoring.registry.verified import PRODUCTION, read_verified
from lead_scoring.scoring.trees import Trees
from lead_scoring.scoring.ubjson import read_ubjson
from lead_scoring.stage import sha256_bytes
from lead_scoring.storage import ObjectStore, open_store
from lead_scoring.storage.below import Below

GOLDEN_TOLERANCE = 1e-9
# How many leading parts of a version must be equal. Only what computes a score is compared; the golden scores answer
# for the rest. XGBoost comes under two distribution names and is not needed at all to score one lead.
LIBRARY_PARTS = {"xgboost": 2, "numpy": 1}


@dataclass(frozen=True)
class LoadedPackage:
    """A version that passed every check.

    :param registered: the digest of the manifest was compared with one that the registry (or the caller) gave.
    """

    version: str
    manifest: PackageManifest
    manifest_digest: str
    registered: bool
    spec: ScorerSpec
    calibrator: Calibrator
    trees: Trees
    booster: bytes

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled trees, which cannot be pickled; they are made again from the booster's file."""
        return {name: value for name, value in vars(self).items() if name != "trees"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, trees=Trees(read_ubjson(state["booster"])))


def packages_in(store: ObjectStore) -> tuple[ObjectStore, ObjectStore]:
    """The packages of a models store, and the store itself, which holds ``registry/``."""
    return Below(store, PRODUCTION.rstrip("/")), store


def split_model_dir(model_dir: str) -> tuple[ObjectStore, ObjectStore]:
    """The store of the packages and the store one level up, which holds ``registry/``."""
    text = str(model_dir).rstrip("/")
    if text.startswith("gs://"):
        if "/" not in text.removeprefix("gs://"):
            raise BadInput(f"model_dir {model_dir!r} is a whole bucket; give gs://bucket/.../production")
        return open_store(text), open_store(text.rpartition("/")[0])
    open_store(text)  # refuses other kinds of address
    folder = Path(text).absolute()
    if not folder.is_dir():
        raise NotFound(f"model folder {folder} does not exist; give model_dir, the folder that holds manifest_<v>.json")
    return open_store(folder), open_store(folder.parent)


def choose_version(packages: ObjectStore, parent: ObjectStore, wanted: str | None) -> tuple[str, str | None]:
    """The version to load and the SHA-256 that its manifest must have, None if nothing says which.

    With a registry beside the packages its event log decides, ``registry.json`` never does. Without one (a deployed
    function) ``champion.json`` does, which a promotion places with the function's code; without that, the only version
    there is.

    :param wanted: None for the champion.
    :raises NotFound: the registry does not know the version, none is in production, or several are there and nothing
        says which. :raises CheckFailed: the log was changed or has lost events.
    """
    state = fold(EventLog(parent).read_whole())
    if state.last is not None:
        if wanted is None and state.champion is None:
            raise NotFound(
                f"registry {parent.uri}/registry has no version in production; promote one or name a version"
            )
        entry = state.entry(wanted or str(state.champion))
        return entry.version_id, entry.manifest_digest
    data, generation = packages.read_generation(CHAMPION_FILE)
    if generation:
        version, digest = read_champion(data, f"{packages.uri}/{CHAMPION_FILE}")
        return (version, digest) if wanted in {None, version} else (str(wanted), None)
    if wanted is not None:
        return wanted, None
    names = [name for name in packages.list("manifest_") if "/" not in name and name.endswith(".json")]
    if len(names) != 1:
        raise NotFound(
            f"{packages.uri} has {len(names)} versions, and neither a registry beside it nor {CHAMPION_FILE}; name the "
            "version (model_version, or LEAD_SCORING_MODEL_VERSION for the HTTP function)"
        )
    return names[0].removeprefix("manifest_").removesuffix(".json"), None


def load_package(packages: ObjectStore, model_version: str, manifest_digest: str | None = None) -> LoadedPackage:
    """Read and check one version.

    :param packages: the store of ``models/production``.
    :param manifest_digest: the registry's SHA-256 of the manifest; None where there is no registry to ask.
    :raises NotFound: there is no such version. :raises CheckFailed: a check said no.
    """
    names = package_files(check_version(model_version))
    source = f"{packages.uri}/{names['manifest']}"
    try:
        data = packages.read(names["manifest"])
    except NotFound as error:
        raise NotFound(f"version {model_version} has no {source}; see `registry list`") from error
    digest = sha256_bytes(data)
    if manifest_digest is not None and digest != manifest_digest:
        raise CheckFailed(f"{source} has SHA-256 {digest[:12]}, the registry says {manifest_digest[:12]}; {WAY_BACK}")
    try:
        manifest = PackageManifest.from_bytes(data, source)
        if manifest.version_id != model_version:
            raise CheckFailed(f"{source} is the manifest of {manifest.version_id}, not of {model_version}; {WAY_BACK}")
        files = _checked_files(packages, manifest)
        booster, spec_bytes = files[names["booster"]], files[names["scorer"]]
        spec = read_scorer(spec_bytes, model_version, f"{packages.uri}/{names['scorer']}")
        trees = Trees(read_ubjson(booster))
        calibrator = calibrator_from_dict(spec.calibrator)
        found = version_id(canonical_model_bytes(booster, spec), date.fromisoformat(manifest.as_of))
    except (BadInput, KeyError, ValueError) as error:
        raise CheckFailed(f"version {model_version} cannot be read ({error}); {WAY_BACK}") from error
    if found != model_version:
        raise CheckFailed(f"the model's bytes belong to version {found}, not {model_version}; {WAY_BACK}")
    if not trees.feature_names == spec.feature_names == manifest.feature_names:
        raise CheckFailed(f"version {model_version}: booster, scorer and manifest name other features; {WAY_BACK}")
    check_libraries(manifest.libraries, model_version)
    check_golden(spec, calibrator, trees, model_version)
    return LoadedPackage(model_version, manifest, digest, manifest_digest is not None, spec, calibrator, trees, booster)


def check_libraries(wanted: Mapping[str, str], model_version: str) -> None:
    """:raises CheckFailed: an installed library that computes scores is of another line than the packaged one."""
    for library, parts in LIBRARY_PARTS.items():
        packaged = wanted.get(library) or wanted.get(f"{library}-cpu")
        installed = _installed(library)
        if packaged and installed and packaged.split(".")[:parts] != installed.split(".")[:parts]:
            raise CheckFailed(
                f"version {model_version} was packaged with {library} {packaged}, installed is {installed}; "
                f"install {library} {packaged} or package the model again"
            )


def check_golden(spec: ScorerSpec, calibrator: Calibrator, trees: Trees, model_version: str) -> None:
    """:raises CheckFailed: a stored answer is not reproduced within 1e-9, or there are none."""
    if not spec.golden:
        raise CheckFailed(f"version {model_version} has no golden scores; package the model again")
    for number, row in enumerate(spec.golden):
        values = [row["features"][name] for name in spec.feature_names]
        margin = trees.margin([float("nan") if value is None else float(value) for value in values])
        score = float(calibrator.apply(margin))
        for name, found, stored in (("margin", margin, row["margin"]), ("lead_score", score, row["lead_score"])):
            if not abs(found - stored) <= GOLDEN_TOLERANCE:
                raise CheckFailed(
                    f"golden lead {number} of version {model_version} has {name} {found!r}, packaged was {stored!r}; "
                    "this machine computes other scores: do not use it for this version"
                )


def _checked_files(packages: ObjectStore, manifest: PackageManifest) -> dict[str, bytes]:
    """All files of the version, read once: the bytes that were hashed are the bytes that are used.

    A name without the version is the function's code, which lies elsewhere and is checked by the registry.
    """
    return {
        name: read_verified(packages, name, facts["sha256"], "the manifest")
        for name, facts in manifest.files.items()
        if manifest.version_id in name
    }


def _installed(library: str) -> str | None:
    for name in (library, f"{library}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
