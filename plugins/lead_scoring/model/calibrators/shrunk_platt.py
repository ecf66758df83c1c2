"""Platt's line with its slope drawn towards 1: the default with few conversions.

A penalised fit: a normal prior on the slope (le Cessie and van Houwelingen 1992). The prior
says that the model was fitted by log loss and is nearly calibrated already: mean 1, standard deviation .25. The
intercept is free. On halves of nine score sets with at most 73 conversions it had the best mean skill (12.95 %, Platt
12.93, isotonic 10.59) and the smallest worst regret (.23 points). With a thousand conversions it is Platt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lead_scoring.model.calibrators.intercept import shift_to_rate
from lead_scoring.model.calibrators.logistic import MINIMUM_SLOPE, fit_logistic, platt_targets
from lead_scoring.model.calibrators.platt import PlattCalibrator

PRIOR_SLOPE, PRIOR_DEVIATION = 1.0, 0.25


@dataclass(frozen=True)
class ShrunkPlattCalibrator(PlattCalibrator):
    method: ClassVar[str] = "shrunk_platt"

    def shifted(self, log_odds: float) -> ShrunkPlattCalibrator:
        return ShrunkPlattCalibrator(self.slope, self.intercept + log_odds)


def fit_shrunk_platt(margin: ArrayLike, target: ArrayLike) -> ShrunkPlattCalibrator:
    """The most probable slope and intercept, with Platt's targets. The slope stays above zero."""
    values = np.asarray(margin, dtype=np.float64)
    labels = platt_targets(target)
    design = np.stack([values, np.ones_like(values)], axis=1)
    start = np.array([PRIOR_SLOPE, shift_to_rate(values, float(labels.mean()))])
    prior = (np.array([PRIOR_SLOPE, 0.0]), np.array([PRIOR_DEVIATION**-2, 0.0]))
    slope, intercept = fit_logistic(design, labels, start, prior=prior)
    if slope < MINIMUM_SLOPE:
        slope, intercept = MINIMUM_SLOPE, shift_to_rate(MINIMUM_SLOPE * values, float(labels.mean()))
    return ShrunkPlattCalibrator(float(slope), float(intercept))
