"""Many processes at one store and one registry, and the count of what was lost: which must be nothing."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lead_scoring.errors import Conflict
from lead_scoring.model.native import PackageManifest, package_files
from lead_scoring.registry import REGISTRY_FILE
from lead_scoring.registry.package import publish_package
from lead_scoring.registry.registry import Registry
from lead_scoring.stage import sha256_bytes
from lead_scoring.storage import open_store

ACTOR = "bench:registry"


def race_counter(uri: str, processes: int, writes: int) -> dict[str, Any]:
    """Each process adds 1 to one object ``writes`` times by compare-and-swap."""
    took, conflicts = _together(_count_up, processes, uri, writes)
    found = int(open_store(uri).read("counter"))
    return {"writes": processes * writes, "lost": processes * writes - found, "conflicts": sum(conflicts), **took}


def race_creations(uri: str, processes: int, names: int) -> dict[str, Any]:
    """All processes try to create the same objects: each object must have one creator."""
    took, won = _together(_create_all, processes, uri, names)
    return {"objects": names, "creators": sum(won), **took}


def race_registry(uri: str, folder: Path, processes: int, writes: int) -> dict[str, Any]:
    """Each process promotes its own two versions in turn, so every promotion changes the champion.

    :param folder: for the packages' files.
    """
    versions = [register_small(uri, folder, number) for number in range(2 * processes)]
    took, _ = _together(_promote_in_turn, processes, uri, writes, versions)
    registry = Registry(open_store(uri))
    history = registry.history()  # checks numbers, digests and chain, and applies each event to the state before it
    requests = [event["request"] for event in history if event["kind"] == "promote"]
    in_production = [sum(entry["status"] == "production" for entry in registry.entries(event["at"])) for event in
                     history[len(versions) :: max(1, len(history) // 50)]]  # fmt: skip
    return {
        "writes": processes * writes,
        "lost": processes * writes - len(set(requests)),
        "twice": len(requests) - len(set(requests)),
        "exactly_one_in_production": all(count == 1 for count in in_production),
        "registry_json_is_current": open_store(uri).read(REGISTRY_FILE) == registry.state().to_json(),
        **took,
    }


def small_package(folder: Path, version: str, contents: dict[str, bytes] | None = None) -> dict[str, Path]:
    """A package of a few files with a true manifest: enough for the registry, too little for a scorer."""
    names = package_files(version)
    files = {names["booster"]: b"trees of " + version.encode(), names["function"]: b"# serves " + version.encode()}
    files |= contents or {}
    manifest = PackageManifest(
        version_id=version,
        as_of="2024-12-21",
        feature_set="phase6",
        feature_set_digest="",
        feature_names=(),
        libraries={},
        files={name: {"sha256": sha256_bytes(data), "bytes": len(data)} for name, data in files.items()},
    )
    paths = {}
    for name, data in {**files, names["manifest"]: manifest.to_bytes()}.items():
        paths[name] = folder / version / name
        if not paths[name].exists():
            paths[name].parent.mkdir(parents=True, exist_ok=True)
            paths[name].write_bytes(data)
    return paths


def version_name(number: int) -> str:
    return f"v1-20241221-{number:08x}"


def register_small(uri: str, folder: Path, number: int, contents: dict[str, bytes] | None = None) -> str:
    """Publish and register small package number n. :return: its version."""
    version = version_name(number)
    store = open_store(uri)
    digest = publish_package(store, small_package(folder, version, contents), version)
    figures = dict.fromkeys(("test_auc_roc", "test_auc_pr", "top_decile_lift", "baseline_rate", "top_decile_rate"))
    Registry(store).register(
        version,
        manifest_digest=digest,
        performance=figures,
        calibration={"method": "platt", "brier_score": None},
        feature_set="phase6",
        run="20241221-00000000",
        actor=ACTOR,
        reason="race",
    )
    return version


def _count_up(uri: str, number: int, writes: int) -> int:
    store, conflicts = open_store(uri), 0
    for _ in range(writes):
        while True:
            data, generation = store.read_generation("counter")
            try:
                store.write("counter", str(int(data or b"0") + 1).encode(), if_generation=generation)
            except Conflict:
                conflicts += 1
                continue
            break
    return conflicts


def _create_all(uri: str, number: int, names: int) -> int:
    store, won = open_store(uri), 0
    for name in range(names):
        try:
            store.write(f"race/{name}", str(number).encode(), if_generation=0)
        except Conflict:
            continue
        won += 1
    return won


def _promote_in_turn(uri: str, number: int, writes: int, versions: list[str]) -> int:
    registry = Registry(open_store(uri))
    for write in range(writes):
        registry.promote(versions[2 * number + write % 2], f"write {write}", ACTOR, request=f"{number}-{write}")
    return 0


def _together(work: Callable[..., int], processes: int, uri: str, *arguments: Any) -> tuple[dict[str, Any], list[int]]:
    """Run ``work(uri, number, *arguments)`` in so many processes at once. :raises RuntimeError: one of them failed."""
    open_store(uri)  # imports what the backend needs, once and not in every child
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()

    def one(number: int) -> None:
        results.put(work(uri, number, *arguments))

    workers = [context.Process(target=one, args=(number,)) for number in range(processes)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    returned: list[int] = []
    while len(returned) < processes:
        if results.empty() and any(worker.exitcode not in {None, 0} for worker in workers):
            break
        if not results.empty():
            returned.append(results.get())
        else:
            time.sleep(0.005)
    for worker in workers:
        worker.join()
    if len(returned) < processes:
        raise RuntimeError(f"{processes - len(returned)} of {processes} processes failed; their errors are above")
    return {"seconds": round(time.perf_counter() - begin, 2)}, returned
