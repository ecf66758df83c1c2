from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from lead_scoring.model.calibrators.platt import PlattCalibrator
from lead_scoring.model.document_pickle import write_document_pickle
from lead_scoring.model.native import PackageManifest, package_files
from lead_scoring.registry.package import publish_package
from lead_scoring.registry.registry import Registry
from lead_scoring.stage import sha256_bytes
from lead_scoring.storage import ObjectStore, open_store
from sandbox.gcs_server.server import running

FIGURES: dict[str, Any] = {
    "performance": {
        "test_auc_roc": 0.7002,
        "test_auc_pr": 0.1070,
        "top_decile_lift": 3.03,
        "baseline_rate": 0.0420,
        "top_decile_rate": 0.1272,
    },
    "calibration": {"method": "isotonic", "brier_score": 0.038369},
}


def version_name(number: int) -> str:
    return f"v1-20241221-{number:08x}"


def build_package(folder: Path, version: str, seed: bytes = b"", pickled: bytes = b"") -> dict[str, Path]:
    """A small package: real names and a real manifest, made-up contents; a real pickle if it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    names = package_files(version)
    logical = ("pickle", "booster", "scorer", "feature_names", "lookup", "model_card")
    contents = {names[item]: f"{item} of {version} ".encode() + seed for item in logical}
    contents[names["function"]] = f"# serves {version}\n".encode()
    contents["lead_scoring/__init__.py"] = b""
    contents[names["pickle"]] = pickled or contents[names["pickle"]]
    manifest = PackageManifest(
        version_id=version,
        as_of="2024-12-21",
        feature_set="phase6",
        feature_set_digest="0" * 64,
        feature_names=("pit_moves_3yr",),
        libraries={},
        files={name: {"sha256": sha256_bytes(data), "bytes": len(data)} for name, data in contents.items()},
    )
    contents[names["manifest"]] = manifest.to_bytes()
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


class Clock:
    """Advances by one minute with every look at it."""

    def __init__(self) -> None:
        self.now = dt.datetime(2024, 12, 21, 6, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(minutes=1)
        return self.now


@pytest.fixture
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[ObjectStore, None, None]:
    """A local folder, or what the test asks for: ``parametrize("store", ["local", "gcs"], indirect=True)``."""
    if getattr(request, "param", "local") == "local":
        yield open_store(tmp_path / "models")
        return
    with running("bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.endpoint)
        yield open_store("gs://bucket/models")


@pytest.fixture
def registry(store: ObjectStore) -> Registry:
    return Registry(store, clock=Clock())


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Builds the files of a package in a folder of their own: ``package(version, seed=b"")``."""

    def build(version: str, seed: bytes = b"") -> dict[str, Path]:
        return build_package(tmp_path / f"package-{version}-{seed.hex()}", version, seed)

    return build


@pytest.fixture
def register(store: ObjectStore, registry: Registry, package: Callable[..., dict[str, Path]]) -> Callable[..., str]:
    """Publishes and registers version number n: ``register(n) -> version``."""

    def enter(number: int, **changes: Any) -> str:
        version = version_name(number)
        digest = publish_package(store, package(version), version)
        origin = {
            "feature_set": "phase6",
            "run": "20241221-0a1b2c3d",
            "actor": "cli:test",
            "reason": "release",
        }
        registry.register(version, manifest_digest=digest, **{**FIGURES, **origin, **changes})
        return version

    return enter


@pytest.fixture
def three(register: Callable[..., str]) -> tuple[str, str, str]:
    return register(1), register(2), register(3)


@pytest.fixture(scope="session")
def document_pickle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The document's pickle of a booster with two trees."""
    data = xgboost.DMatrix(np.arange(40.0).reshape(20, 2), label=np.arange(20) % 2)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, num_boost_round=2)
    path = tmp_path_factory.mktemp("pickle") / "calibrated_model.pkl"
    write_document_pickle(path, bytes(booster.save_raw("ubj")), PlattCalibrator(0.9, -0.1), ["f0", "f1"])
    return path.read_bytes()


@pytest.fixture
def champion(store: ObjectStore, registry: Registry, document_pickle: bytes, tmp_path: Path) -> str:
    """A version with a real pickle in production, and another one registered beside it."""
    for number in (2, 1):
        version = version_name(number)
        files = build_package(tmp_path / f"real-{version}", version, pickled=document_pickle)
        registry.register(
            version,
            manifest_digest=publish_package(store, files, version),
            **FIGURES,
            feature_set="phase6",
            run="20241221-0a1b2c3d",
            actor="cli:test",
            reason="release",
        )
    registry.promote(version_name(1), "release", "cli:test")
    return version_name(1)
