"""``lead-scoring bench registry``: what the stores and the registry lose under races, kills and full disks.

Nothing may be lost; the figures say at what size that was seen, and how long it took.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.bench._faults import attempt, count_boundaries, on_small_disk
from lab.bench._races import (
    race_counter,
    race_creations,
    race_registry,
    register_small,
    small_package,
    version_name,
)
from lab.fuzz import fuzz as fuzz_package
from lead_scoring.registry import REGISTRY_FILE, Registry
from lead_scoring.settings import project_home
from lead_scoring.storage import open_store

Command = Callable[[Path], object]


def run(quick: bool = False, processes: int = 16, writes: int = 200, damaged: int = 1000) -> dict[str, Any]:
    """All figures, by names like ``gcs.registry.lost``. ``quick`` is a small size that only shows that it works.

    :param processes: at once, in the races.
    :param writes: of each process.
    :param damaged: copies that the fuzzer makes.
    """
    if quick:
        processes, writes, damaged = 4, 10, 50
    with tempfile.TemporaryDirectory(prefix="lead-scoring-bench-") as name, cloud_storage() as bucket:
        work = Path(name)
        figures = {
            "local": _say("local", races(str(work / "local"), work / "packages", processes, writes)),
            "gcs": _say("gcs", races(f"{bucket}/race", work / "packages", processes, writes)),
            "killed": _say("killed", interfere(work / "killed", kill=True)),
            "failed": _say("failed", interfere(work / "failed", kill=False)),
            "small_disk": _say("small_disk", small_disk(work / "disk")),
            "fuzz": _say("fuzz", fuzz(work / "fuzz", damaged)),
            "latency_ms": _say("latency_ms", latency(work / "latency", f"{bucket}/latency", 20 if quick else 200)),
        }
    return dict(_flat(figures))


def races(uri: str, packages: Path, processes: int, writes: int) -> dict[str, Any]:
    """Counter, creations and promotions by many processes at once."""
    return {
        "processes": processes,
        "counter": race_counter(f"{uri}/counter", processes, writes),
        "creations": race_creations(f"{uri}/creations", processes, writes),
        "registry": race_registry(f"{uri}/models", packages, processes, writes),
    }


def commands(root: Path) -> dict[str, tuple[Command, set[str]]]:
    """A registry with two champions so far and a candidate; what is done to it, and the champions that may leave.

    :param root: an empty folder's path.
    """
    folder = root.parent / "packages"
    first, second, third = (register_small(str(root), folder, number) for number in (1, 2, 3))
    small_package(folder, version_name(4))
    registry = Registry(open_store(root))
    for version in (first, second):
        registry.promote(version, "release", "bench:registry")

    def told(method: str, *arguments: str) -> Command:
        return lambda place: getattr(Registry(open_store(place)), method)(
            *arguments, "why", "bench:registry", request="once"
        )

    return {
        "register": (lambda place: register_small(str(place), folder, 4), {second}),
        "promote": (told("promote", third), {second, third}),
        "rollback": (told("rollback"), {first, second}),
        "reject": (told("reject", third), {second}),
    }


def interfere(work: Path, *, kill: bool, step: int = 1) -> dict[str, Any]:
    """Each command, interfered with at each of its disk calls in turn, then given again.

    :param work: a folder's path; it is made.
    :param step: 1 for every disk call, n for every n-th.
    :raises AssertionError: a state that is neither the old nor the new one, or a retry that does not finish.
    """
    root = work / "models"
    figures: dict[str, Any] = {}
    for name, (command, champions) in commands(root).items():
        dry = Path(shutil.copytree(root, work / f"{name}-dry"))
        boundaries = count_boundaries(lambda command=command, dry=dry: command(dry))  # type: ignore[misc]
        states: Counter[str] = Counter()
        old = len(Registry(open_store(root)).history())
        for at in range(1, boundaries + 1, step):
            place = Path(shutil.copytree(root, work / f"{name}-{at}"))

            def tell(place: Path = place, command: Command = command) -> object:
                return command(place)

            outcome = attempt(tell, at=at, error=0 if kill else errno.ENOSPC)
            registry = Registry(open_store(place))
            recorded = len(registry.history()) > old
            case = f"{name}, disk call {at} ({outcome.status} {outcome.message})"
            if kill:
                expect(outcome.status == "killed", case)
            elif outcome.status != "done":  # done: a folder's fsync may fail, everybody has seen the rename by then
                expect(outcome.status == "refused" and recorded == ("is recorded" in outcome.message), case)
            expect(registry.champion() in champions, f"{case}: champion {registry.champion()}")
            expect(one_in_production(registry), f"{case}: not exactly one in production")
            states["new" if recorded else "old"] += 1
            again, registry = attempt(tell), Registry(open_store(place))
            expect(again.status == "done", f"{case}: given again it ended {again}")
            expect(registry.champion() == Registry(open_store(dry)).champion(), f"{case}: champion when repeated")
            expect(len(registry.history()) == old + 1, f"{case}: not exactly one event when repeated")
            expect(current(place), f"{case}: registry.json is not current when repeated")
            shutil.rmtree(place)
        figures[name] = {"boundaries": boundaries, "old_state": states["old"], "new_state": states["new"]}
    return figures


def small_disk(work: Path) -> dict[str, str]:
    """A real disk without room, and one mounted read-only: a promotion and a registration change nothing."""
    root = work / "models"
    told = commands(root)
    figures = {}
    before = snapshot(root)
    size = sum((len(data) + 4095) // 4096 * 4 for data in before.values())
    for name, read_only in (("full", False), ("read_only", True)):
        for command in ("register", "promote", "rollback"):

            def work_on_it(command: str = command, read_only: bool = read_only) -> None:
                if not read_only:
                    fill(root)
                seen = snapshot(root)
                try:
                    told[command][0](root)
                finally:
                    expect(snapshot(root) == seen, "something was changed")

            outcome = attempt(work_on_it, prepare=on_small_disk(root, f"{size + 128}k", read_only=read_only))
            expect(outcome.status == "refused" or "cannot mount" in outcome.message, f"{name} {command}: {outcome}")
            figures[f"{name} {command}"] = f"{outcome.status}: {outcome.message}"
    expect(snapshot(root) == before, "the small disk reached the folder below it")
    return figures


def fuzz(work: Path, damaged: int) -> dict[str, Any]:
    """``verify --fuzz`` on a small version with the document's pickle."""
    import numpy as np
    import xgboost

    from lead_scoring.model.calibrators.platt import PlattCalibrator
    from lead_scoring.model.document_pickle import write_document_pickle
    from lead_scoring.model.native import package_files

    work.mkdir(parents=True)
    data = xgboost.DMatrix(np.arange(40.0).reshape(20, 2), label=np.arange(20) % 2)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, num_boost_round=2)
    path = work / "calibrated_model.pkl"
    write_document_pickle(path, bytes(booster.save_raw("ubj")), PlattCalibrator(0.9, -0.1), ["f0", "f1"])
    versions = []
    for number in (1, 2):
        name = package_files(f"v1-20241221-{number:08x}")["pickle"]
        versions.append(register_small(str(work / "models"), work / "packages", number, {name: path.read_bytes()}))
    begin = time.perf_counter()
    report = fuzz_package(open_store(work / "models"), versions[0], damaged, seed=7)
    return {**report, "seconds": round(time.perf_counter() - begin, 2)}


def latency(work: Path, bucket: str, events: int) -> dict[str, float]:
    """Milliseconds: a promotion, and the champion asked for by a process that has read nothing yet."""
    figures = {}
    for kind, uri in (("local", str(work / "models")), ("gcs", bucket)):
        versions = [register_small(uri, work / "packages", number) for number in (1, 2)]
        registry = Registry(open_store(uri))
        begin = time.perf_counter()
        for number in range(events):
            registry.promote(versions[number % 2], "back and forth", "bench:registry")
        figures[f"{kind}_promote"] = round((time.perf_counter() - begin) * 1000 / events, 2)
        begin = time.perf_counter()
        Registry(open_store(uri)).champion()
        figures[f"{kind}_champion_after_{events + 2}_events"] = round((time.perf_counter() - begin) * 1000, 2)
    return figures


@contextmanager
def cloud_storage() -> Generator[str, None, None]:
    """The sandbox's Cloud Storage as a process of its own. :return: the address of an empty bucket."""
    command = [sys.executable, "-m", "sandbox.gcs_server", "--port", "0", "--bucket", "bench"]
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=project_home(), text=True) as server:
        try:
            line = server.stdout.readline().strip() if server.stdout else ""
            os.environ["STORAGE_EMULATOR_HOST"] = line.partition("=")[2]
            yield "gs://bench"
        finally:
            server.terminate()
            os.environ.pop("STORAGE_EMULATOR_HOST")
            if before is not None:
                os.environ["STORAGE_EMULATOR_HOST"] = before


def expect(truth: bool, message: str) -> None:
    if not truth:
        raise AssertionError(message)


def one_in_production(registry: Registry) -> bool:
    return [entry["status"] for entry in registry.entries()].count("production") == 1


def current(root: Path) -> bool:
    """Whether ``registry.json`` is what the events say."""
    store = open_store(root)
    return store.read(REGISTRY_FILE) == Registry(store).state().to_json()


def snapshot(root: Path) -> dict[str, bytes]:
    store = open_store(root)
    return {name: store.read(name) for name in store.list()}


def fill(root: Path) -> None:
    """Take all the room there is."""
    with (root / ".filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(b"\0" * 1024):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def _flat(figures: dict[str, Any], prefix: str = "") -> Generator[tuple[str, Any], None, None]:
    """Nested figures under one name each: ``gcs.registry.lost``."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _say(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    print(f"{name}: {figures}", file=sys.stderr, flush=True)
    return figures
