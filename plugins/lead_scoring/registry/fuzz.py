"""``verify --fuzz N``: damage a copy of a package N times, in all the ways that files get damaged or swapped.

Every damaged copy must be refused with an error of ours, no damage may have an effect outside the copy, and the
undamaged copy must load before and after.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lead_scoring.errors import CheckFailed, LeadScoringError
from lead_scoring.model.native import PackageManifest
from lead_scoring.registry.damage import Damage
from lead_scoring.registry.events import EVENTS, EventLog
from lead_scoring.registry.package import PRODUCTION, check_files, manifest_object, object_name, open_package
from lead_scoring.registry.unpickle import load_pickle
from lead_scoring.storage import ObjectStore
from lead_scoring.storage.local import LocalStore

Loader = Callable[[ObjectStore, str], object]


def fuzz(
    store: ObjectStore, version: str, attempts: int, seed: int = 0, scorer: Loader | None = None
) -> dict[str, Any]:
    """Try ``attempts`` damaged copies. ``store`` itself is only read.

    :param scorer: loads a scorer from the copy, where the caller has one; it must refuse damaged model files too.
    :return: JSON values: ``attempts``, ``refused``, ``loaded``, ``side_effects``, ``by_kind``, ``seed``.
    :raises CheckFailed: a damaged copy loaded, had an effect, or failed with another error than ours; or the
        undamaged one did not load.
    """
    with tempfile.TemporaryDirectory(prefix="lead-scoring-fuzz-") as folder:
        copy = LocalStore(Path(folder) / "models")
        canary = Path(folder) / "canary"
        originals = _copy(store, copy, version)
        damage = Damage(version, originals, canary, random.Random(seed))
        loaders = [load_everything, *([scorer] if scorer else [])]
        for load in loaders:
            load(copy, version)
        kinds: Counter[str] = Counter()
        faults: list[str] = []
        for number in range(attempts):
            kind, damaged = damage.choose()
            for name, data in damaged.items():
                _put(copy, name, data)
            # a scorer never reads the function's code and the events, so with those damaged it may rightly load
            of_model = all(name.startswith(PRODUCTION) and name.count("/") == 1 for name in damaged)
            for load in loaders if of_model else loaders[:1]:
                if (fault := _attempt(load, copy, version)) is not None:
                    faults.append(f"attempt {number} ({kind} of {', '.join(damaged)}): {fault}")
            if canary.exists():
                faults.append(f"attempt {number} ({kind}): the planted code was run")
                canary.unlink()
            for name in damaged:
                _put(copy, name, originals[name])
            kinds[kind] += 1
        for load in loaders:
            load(copy, version)
    if faults:
        raise CheckFailed(
            f"of {attempts} damaged copies of {version}, {len(faults)} were not refused (seed {seed}); "
            f"do not load packages with this library. First: {faults[0]}"
        )
    counts = {"attempts": attempts, "refused": attempts, "loaded": 0, "side_effects": 0}
    return {**counts, "by_kind": dict(sorted(kinds.items())), "seed": seed}


def load_everything(store: ObjectStore, version: str) -> None:
    """The full way in: events, manifest, every file, the pickle."""
    package = open_package(store, version)
    check_files(store, version, package.manifest_digest)
    load_pickle(package)


def _attempt(load: Loader, store: ObjectStore, version: str) -> str | None:
    """None if it was refused as it should be."""
    try:
        load(store, version)
    except LeadScoringError:
        return None
    except Exception as error:  # noqa: BLE001 - any other error is what the fuzzer looks for; it is reported
        return f"{type(error).__name__} instead of a refusal: {error}"
    return "it loaded"


def _copy(store: ObjectStore, copy: LocalStore, version: str) -> dict[str, bytes]:
    """Copy the registry, the version, and the latest other version if there is one. Object name to bytes."""
    events = EventLog(store).read()
    others = [event.version_id for event in events if event.kind == "register" and event.version_id != version]
    names = [name for name in store.list("registry/") if name.startswith(EVENTS) or name == "registry/registry.json"]
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
