"""``verify --fuzz N``: damage a copy of a package N times, in all the ways that files get damaged or swapped.

Every damaged copy must be refused with an error of ours, no damage may have an effect outside the copy, and the
undamaged copy must load before and after. With ``registry.json`` alone damaged a copy may load, but then the same bytes
as before: nothing is decided by that file.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from lab.damage import Damage
from lead_scoring.errors import BadInput, CheckFailed, LeadScoringError
from lead_scoring.model.native import PackageManifest
from lead_scoring.registry import EVENTS, REGISTRY_FILE, EventLog, fold
from lead_scoring.registry.package import check_files, open_package
from lead_scoring.registry.unpickle import load_pickle
from lead_scoring.registry.verification import Loader
from lead_scoring.registry.verified import manifest_object, object_name
from lead_scoring.storage import ObjectStore
from lead_scoring.storage.local import LocalStore

REFUSED, SAME = "refused", "same"


def fuzz(
    store: ObjectStore, version: str, attempts: int, seed: int = 0, scorer: Loader | None = None
) -> dict[str, Any]:
    """Try ``attempts`` damaged copies. ``store`` itself is only read.

    :param scorer: loads a scorer from the copy, where the caller has one; it must refuse damaged model files too.
    :return: JSON values: ``attempts``, ``refused``, ``same`` (registry.json alone was damaged and the same bytes were
        loaded), ``loaded``, ``side_effects``, ``by_kind``, ``seed``.
    :raises CheckFailed: a damaged copy loaded, had an effect, or failed with another error than ours; or the
        undamaged one did not load.
    """
    if attempts < 0:
        raise BadInput(f"--fuzz is {attempts}; give the number of damaged copies to try, 0 or more")
    with tempfile.TemporaryDirectory(prefix="lead-scoring-fuzz-") as folder:
        copy = LocalStore(Path(folder) / "models")
        canary = Path(folder) / "canary"
        originals = _copy(store, copy, version)
        damage = Damage(version, originals, canary, random.Random(seed))
        loaders = [load_everything, *([scorer] if scorer else [])]
        asked = [version, None] if fold(EventLog(copy).read()).champion else [version]
        sound = {(load, item): load(copy, item) for load in loaders for item in asked}
        kinds: Counter[str] = Counter()
        faults: list[str] = []
        harmless: set[int] = set()
        for number in range(attempts):
            kind, damaged = damage.choose()
            for name, data in damaged.items():
                _put(copy, name, data)
            for load in loaders:
                if load is not load_everything and damage.escapes_scorer(damaged):
                    continue
                for item in asked if REGISTRY_FILE in damaged else [version]:
                    same = sound[load, item] if set(damaged) == {REGISTRY_FILE} else None
                    if (outcome := _attempt(load, copy, item, same)) == SAME:
                        harmless.add(number)
                    elif outcome != REFUSED:
                        faults.append(f"attempt {number} ({kind} of {', '.join(damaged)}): {outcome}")
            if canary.exists():
                faults.append(f"attempt {number} ({kind}): the planted code was run")
                canary.unlink()
            for name in damaged:
                _put(copy, name, originals[name])
            kinds[kind] += 1
        for (load, item), digest in sound.items():
            if load(copy, item) != digest:
                raise CheckFailed(
                    f"the undamaged copy of {version} loads as another one; look at the registry's events"
                )
    if faults:
        raise CheckFailed(
            f"of {attempts} damaged copies of {version}, {len(faults)} were not refused (seed {seed}); "
            f"do not load packages with this library. First: {faults[0]}"
        )
    refused = attempts - len(harmless)
    counts = {"attempts": attempts, "refused": refused, "same": len(harmless), "loaded": 0, "side_effects": 0}
    return {**counts, "by_kind": dict(sorted(kinds.items())), "seed": seed}


def load_everything(store: ObjectStore, version: str | None) -> str:
    """The full way in: events, manifest, every file, the pickle."""
    package = open_package(store, version)
    check_files(store, package.version, package.manifest_digest)
    load_pickle(package)
    return package.manifest_digest


def _attempt(load: Loader, store: ObjectStore, version: str | None, same: str | None) -> str:
    """``REFUSED`` as it should be, ``SAME`` if the manifest was loaded that may be, else what went wrong."""
    try:
        digest = load(store, version)
    except LeadScoringError:
        return REFUSED
    except Exception as error:  # noqa: BLE001 - any other error is what the fuzzer looks for; it is reported
        return f"{type(error).__name__} instead of a refusal: {error}"
    return SAME if digest == same else "it loaded"


def _copy(store: ObjectStore, copy: LocalStore, version: str) -> dict[str, bytes]:
    """Copy the registry, the version, and the latest other version if there is one. Object name to bytes."""
    events = EventLog(store).read()
    others = [event.version_id for event in events if event.kind == "register" and event.version_id != version]
    names = [name for name in store.list("registry/") if name.startswith(EVENTS) or name == REGISTRY_FILE]
    for item in [version, *others[-1:]]:
        manifest = PackageManifest.from_bytes(store.read(manifest_object(item)), manifest_object(item))
        names += [manifest_object(item), *(object_name(item, name) for name in manifest.files)]
    originals = {name: store.read(name) for name in names}
    for name, data in originals.items():
        _put(copy, name, data)
    return originals


def _put(copy: LocalStore, name: str, data: bytes | None) -> None:
    """Straight into the copy's folder: it is nobody else's, and a thousand synced writes would take a minute."""
    path = copy.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
