"""A small feature table with a known effect, and the feature set that describes it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.catalog import FeatureSet, FeatureSpec
from lead_scoring.settings import TrainingSettings, load_settings

NAMES = ("tenure", "gap days", "noise", "is_mobile")


@pytest.fixture
def feature_set() -> FeatureSet:
    def spec(name: str) -> FeatureSpec:
        return FeatureSpec(
            name=name, column=name.replace(" ", "_"), dtype="float", unit="", definition="", sources=(), null_rule="",
            nullable=True, minimum=-100.0, maximum=100.0, needs_recorded_at=False, direction="flat",
        )  # fmt: skip

    return FeatureSet("small", tuple(spec(name) for name in NAMES))


@pytest.fixture
def training_settings() -> TrainingSettings:
    return dataclasses.replace(load_settings(environment={}).training, search_trials=2, bootstrap=50, threads=1)


@pytest.fixture
def feature_table(tmp_path: Path) -> Callable[..., Path]:
    """``feature_table(n, dated, rate, seed, name)``: one Parquet shard of labelled leads."""

    def make(
        n: int = 1500, *, dated: bool = True, rate: float = -2.2, seed: int = 1, name: str = "train-00000.parquet",
        effect: float = 1.0, days: int = 500,
    ) -> Path:  # fmt: skip
        generator = np.random.default_rng(seed)
        tenure, gap, noise = generator.normal(size=(3, n))
        mobile = (generator.random(n) < 0.4).astype(float)
        margin = rate - effect * tenure + 0.5 * effect * mobile
        target = (generator.random(n) < 1 / (1 + np.exp(-margin))).astype(np.int64)
        gap[generator.random(n) < 0.1] = np.nan
        start = dt.date(2023, 7, 1)
        dates = [start + dt.timedelta(int(day)) for day in generator.integers(0, days, n)] if dated else [None] * n
        table = pa.table({
            "lead_id": [f"lead-{seed}-{number:06d}" for number in range(n)],
            "pit_date": pa.array(dates, pa.date32()),
            "target": target,
            "tenure": tenure,
            "gap_days": gap,
            "noise": noise,
            "is_mobile": mobile,
        })
        path = tmp_path / name
        pq.write_table(table, path)
        return path

    return make
