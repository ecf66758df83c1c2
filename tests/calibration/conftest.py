"""Simulated leads whose truth is known, and small settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from lead_scoring.model.calibrators import sigmoid
from lead_scoring.settings import BucketSettings, CalibrationSettings, load_settings


@pytest.fixture
def calibration_settings() -> CalibrationSettings:
    return dataclasses.replace(load_settings(environment={}).calibration, repeats=2, bootstrap=50)


@pytest.fixture
def bucket_settings() -> BucketSettings:
    return load_settings(environment={}).buckets


@pytest.fixture
def leads() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Margins and targets: ``leads(seed, n, slope, intercept)``."""

    def make(
        seed: int = 1, n: int = 1200, slope: float = 0.8, intercept: float = -3.2
    ) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        margin = generator.normal(0.0, 1.0, n)
        target = (generator.random(n) < sigmoid(slope * margin + intercept)).astype(np.int8)
        return margin, target

    return make
