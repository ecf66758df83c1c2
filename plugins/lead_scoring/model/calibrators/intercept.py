"""One parameter: every score moves by the same log-odds, until the mean score is the conversion rate.

"Calibration in the large" (Steyerberg 2009). What a small sample can afford, and what a moved base rate needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lead_scoring.model.calibrators.base import Calibrator
from lead_scoring.model.calibrators.logistic import Floats, inside, logit, sigmoid


@dataclass(frozen=True)
class InterceptCalibrator(Calibrator):
    """:param intercept: added to the margin, in log-odds."""

    intercept: float
    method: ClassVar[str] = "intercept"

    def apply(self, margin: ArrayLike) -> Floats:
        return inside(sigmoid(np.asarray(margin, dtype=np.float64) + self.intercept))

    def shifted(self, log_odds: float) -> InterceptCalibrator:
        return InterceptCalibrator(self.intercept + log_odds)


def fit_intercept(margin: ArrayLike, target: ArrayLike) -> InterceptCalibrator:
    """Maximum likelihood: the mean of the scores becomes the rate of the target, which must have both classes."""
    return InterceptCalibrator(shift_to_rate(margin, float(np.mean(np.asarray(target, dtype=np.float64)))))


def shift_to_rate(margin: ArrayLike, rate: float) -> float:
    """The log-odds to add to these margins so that the mean of their sigmoids is ``rate``, by guarded Newton steps."""
    values = np.asarray(margin, dtype=np.float64)
    wanted = float(logit(rate))
    low, high = wanted - float(values.max()), wanted - float(values.min())
    shift = min(max(wanted - float(logit(np.clip(sigmoid(values).mean(), 1e-15, 1 - 1e-15))), low), high)
    for _ in range(100):
        probability = sigmoid(values + shift)
        gap = float(probability.mean()) - rate
        if gap > 0:
            high = shift
        else:
            low = shift
        slope = float((probability * (1 - probability)).mean())
        step = gap / slope if slope > 0 else 0.0
        moved = shift - step
        if not low <= moved <= high:
            moved = (low + high) / 2
        if abs(moved - shift) < 1e-13:
            return moved
        shift = moved
    return shift
