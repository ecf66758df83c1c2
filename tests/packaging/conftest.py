"""A small release, trained and calibrated once for the whole room: packaging reads files, it does not make them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.calibration import calibrate_stage
from lead_scoring.catalog import FeatureSet, FeatureSpec
from lead_scoring.packaging import PackageSources, ReleaseFacts, package
from lead_scoring.settings import load_settings
from lead_scoring.stage import StageOutput
from lead_scoring.training import train

AS_OF = dt.date(2024, 12, 21)
NAMES = ("tenure", "gap days", "noise")


@pytest.fixture(scope="session")
def feature_set() -> FeatureSet:
    def spec(name: str) -> FeatureSpec:
        return FeatureSpec(
            name=name, column=name.replace(" ", "_"), dtype="float", unit="", definition="", sources=(), null_rule="",
            nullable=True, minimum=-100.0, maximum=100.0, needs_recorded_at=False, direction="flat",
        )  # fmt: skip

    return FeatureSet("small", tuple(spec(name) for name in NAMES))


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, feature_set: FeatureSet) -> dict[str, Path]:
    """Every file of the training and calibration stages, by logical name."""
    folder = tmp_path_factory.mktemp("release")
    generator = np.random.default_rng(3)
    n = 3000
    tenure, gap, noise = generator.normal(size=(3, n))
    target = (generator.random(n) < 1 / (1 + np.exp(2.4 + tenure - 0.5 * gap))).astype(np.int64)
    gap[::15] = np.nan
    dates = [dt.date(2023, 7, 1) + dt.timedelta(int(day)) for day in generator.integers(0, 500, n)]
    pq.write_table(
        pa.table({
            "lead_id": [f"lead-{number:06d}" for number in range(n)],
            "pit_date": pa.array(dates, pa.date32()),
            "target": target,
            "tenure": tenure,
            "gap_days": gap,
            "noise": noise,
        }),
        folder / "train.parquet",
    )
    settings = load_settings(environment={})
    training = dataclasses.replace(settings.training, search_trials=1, bootstrap=50, threads=1)
    trained = train(
        [folder / "train.parquet"],
        feature_set=feature_set,
        as_of=AS_OF,
        settings=training,
        label_window_days=30,
        work=folder,
    )
    calibrated = calibrate_stage(
        trained.files["scores.parquet"],
        trained.files["model.ubj"],
        trained.files["training_report.json"],
        feature_set=feature_set,
        as_of=AS_OF,
        calibration=dataclasses.replace(settings.calibration, repeats=2, bootstrap=50),
        buckets=settings.buckets,
        work=folder,
    )
    return {**trained.files, **calibrated.files}


@pytest.fixture
def package_arguments(release: dict[str, Path], feature_set: FeatureSet, tmp_path: Path) -> dict[str, Any]:
    work = tmp_path / "package"
    work.mkdir()
    return {
        "model": release["model.ubj"],
        "calibrator": release["calibrator.json"],
        "bucket_policy": release["bucket_policy.json"],
        "training_report": release["training_report.json"],
        "calibration_metadata": release["calibration_metadata.json"],
        "lookup": release["calibration_lookup_table.csv"],
        "curves": release["calibration_curves.png"],
        "lift_chart": release["lift_chart.png"],
        "pickle": release["calibrated_model.pkl"],
        "reference": release["reference.parquet"],
        "feature_set": feature_set,
        "as_of": AS_OF,
        "run": {"train_model": {"key": "20241221-00c0ffee", "digest": "ab" * 32}, "counts": {"rows_in": 3000}},
        "findings": [],
        "accepted_findings": None,
        "gate": {"champion": None, "accepted": True, "reasons": ["accepted: better than the constant"], "figures": {}},
        "leakage": {"findings": []},
        "history": [],
        "code_version": "c0de",
        "function_files": {"cloud_function_code.py": "answer = 42\n", "lead_scoring/__init__.py": ""},
        "work": work,
    }


def packaged(**arguments: Any) -> StageOutput:
    """:func:`package`, from the flat :func:`package_arguments`."""
    parts = []
    for kind in (PackageSources, ReleaseFacts):
        names = [item.name for item in dataclasses.fields(kind)]
        parts.append(kind(**{name: arguments.pop(name) for name in names}))
    return package(*parts, **arguments)
