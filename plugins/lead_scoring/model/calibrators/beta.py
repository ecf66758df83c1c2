"""Three parameters: the slope may differ for low and for high scores (Kull, Silva Filho and Flach 2017).

sigmoid(a ln p - b ln(1 - p) + c), written on the margin m: ln p = -softplus(-m) and -ln(1 - p) = softplus(m).
a = b = 1 with c = 0 is the identity, a = b is Platt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lead_scoring.model.calibrators.base import Calibrator
from lead_scoring.model.calibrators.logistic import (
    MINIMUM_SLOPE,
    Floats,
    fit_logistic,
    inside,
    platt_targets,
    sigmoid,
    softplus,
)


@dataclass(frozen=True)
class BetaCalibrator(Calibrator):
    """:param a: weight of ln p. :param b: weight of -ln(1 - p). Both above 0. :param c: added, in log-odds."""

    a: float
    b: float
    c: float
    method: ClassVar[str] = "beta"

    def check_rising(self) -> None:
        for name in ("a", "b"):
            if getattr(self, name) <= 0:
                self.refuse(name, "it must be above 0: a calibrator does not turn the ranking round")

    def apply(self, margin: ArrayLike) -> Floats:
        values = np.asarray(margin, dtype=np.float64)
        return inside(sigmoid(-self.a * softplus(-values) + self.b * softplus(values) + self.c))

    def shifted(self, log_odds: float) -> BetaCalibrator:
        return BetaCalibrator(self.a, self.b, self.c + log_odds)


def fit_beta(margin: ArrayLike, target: ArrayLike) -> BetaCalibrator:
    """Maximum likelihood with Platt's targets; a weight that would fall below zero is held just above it."""
    values = np.asarray(margin, dtype=np.float64)
    labels = platt_targets(target)
    columns = np.stack([-softplus(-values), softplus(values), np.ones_like(values)], axis=1)
    weights = np.array([1.0, 1.0, 0.0])
    free = [0, 1, 2]
    while True:
        held = [index for index in (0, 1) if index not in free]
        offset = columns[:, held] @ weights[held] if held else None
        weights[free] = fit_logistic(columns[:, free], labels, weights[free], offset)
        below = [index for index in free if index != 2 and weights[index] < MINIMUM_SLOPE]
        if not below:
            return BetaCalibrator(*(float(value) for value in weights))
        worst = min(below, key=lambda index: weights[index])
        weights[worst] = MINIMUM_SLOPE
        free.remove(worst)
