"""The sigmoid of the margin as it is: right for a booster that was trained without class weights and not overfitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from lead_scoring.model.calibrators.base import Calibrator
from lead_scoring.model.calibrators.intercept import InterceptCalibrator
from lead_scoring.model.calibrators.logistic import Floats, inside, sigmoid


@dataclass(frozen=True)
class IdentityCalibrator(Calibrator):
    method: ClassVar[str] = "identity"

    def apply(self, margin: ArrayLike) -> Floats:
        return inside(sigmoid(margin))

    def shifted(self, log_odds: float) -> InterceptCalibrator:
        return InterceptCalibrator(log_odds)


def fit_identity(margin: ArrayLike, target: ArrayLike) -> IdentityCalibrator:
    """Nothing to fit."""
    return IdentityCalibrator()
