"""Two parameters: a line on the margin (Platt 1999, with his targets; Lin, Lin and Weng 2007 for the fit).

On the margin, not on the probability: scikit-learn's CalibratedClassifierCV feeds probabilities of an XGBClassifier
to the sigmoid, which is another and worse model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lead_scoring.model.calibrators.base import Calibrator
from lead_scoring.model.calibrators.intercept import shift_to_rate
from lead_scoring.model.calibrators.logistic import (
    MINIMUM_SLOPE,
    Floats,
    fit_logistic,
    inside,
    platt_targets,
    sigmoid,
)


@dataclass(frozen=True)
class PlattCalibrator(Calibrator):
    """:param slope: times the margin, above 0. :param intercept: added, in log-odds."""

    slope: float
    intercept: float
    method: ClassVar[str] = "platt"

    def check_rising(self) -> None:
        if self.slope <= 0:
            self.refuse("slope", "it must be above 0: a calibrator does not turn the ranking round")

    def apply(self, margin: ArrayLike) -> Floats:
        return inside(sigmoid(self.slope * np.asarray(margin, dtype=np.float64) + self.intercept))

    def shifted(self, log_odds: float) -> PlattCalibrator:
        return PlattCalibrator(self.slope, self.intercept + log_odds)


def fit_platt(margin: ArrayLike, target: ArrayLike) -> PlattCalibrator:
    """Maximum likelihood with Platt's targets. A slope that would turn the ranking round stops just above zero."""
    values = np.asarray(margin, dtype=np.float64)
    labels = platt_targets(target)
    design = np.stack([values, np.ones_like(values)], axis=1)
    slope, intercept = fit_logistic(design, labels, np.array([1.0, shift_to_rate(values, float(labels.mean()))]))
    if slope < MINIMUM_SLOPE:
        slope, intercept = MINIMUM_SLOPE, shift_to_rate(MINIMUM_SLOPE * values, float(labels.mean()))
    return PlattCalibrator(float(slope), float(intercept))
