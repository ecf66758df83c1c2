"""Calibrators, simplest first: from the booster's margin to the probability of a conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from lead_scoring.errors import BadInput
from lead_scoring.model.calibrators.base import Calibrator
from lead_scoring.model.calibrators.beta import BetaCalibrator, fit_beta
from lead_scoring.model.calibrators.identity import IdentityCalibrator, fit_identity
from lead_scoring.model.calibrators.intercept import InterceptCalibrator, fit_intercept, shift_to_rate
from lead_scoring.model.calibrators.isotonic import IsotonicCalibrator, fit_isotonic
from lead_scoring.model.calibrators.logistic import logit, raw_to_margin, sigmoid
from lead_scoring.model.calibrators.platt import PlattCalibrator, fit_platt
from lead_scoring.model.calibrators.shrunk_platt import ShrunkPlattCalibrator, fit_shrunk_platt

# Simplest first: the order in which the one-standard-error rule prefers them. A new calibrator is its own module, a
# line in each of these two tables, and its tests; how many conversions it needs is its `minimum_positives`.
CALIBRATORS: Mapping[str, type[Calibrator]] = {
    "identity": IdentityCalibrator,
    "intercept": InterceptCalibrator,
    "shrunk_platt": ShrunkPlattCalibrator,
    "platt": PlattCalibrator,
    "beta": BetaCalibrator,
    "isotonic": IsotonicCalibrator,
}
FITTERS: Mapping[str, Callable[[ArrayLike, ArrayLike], Calibrator]] = {
    "identity": fit_identity,
    "intercept": fit_intercept,
    "shrunk_platt": fit_shrunk_platt,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
DEFAULT = "shrunk_platt"  # kept unless another one is better by more than one standard error


def calibrator_from_dict(data: Mapping[str, Any]) -> Calibrator:
    """:raises BadInput: no calibrator, an unknown method, or parameters that are not those of a rising curve."""
    if not isinstance(data, Mapping):
        raise BadInput(f"calibrator is {data!r}; it must be an object with a method and its parameters")
    kind = CALIBRATORS.get(str(data.get("method")))
    if kind is None:
        raise BadInput(f"calibrator method {data.get('method')!r} is unknown; the methods are {list(CALIBRATORS)}")
    try:
        return kind.from_dict(dict(data))
    except TypeError as error:
        raise BadInput(f"calibrator {data.get('method')!r} has wrong parameters {sorted(data)}: {error}") from error


__all__ = [
    "CALIBRATORS",
    "DEFAULT",
    "FITTERS",
    "BetaCalibrator",
    "Calibrator",
    "IdentityCalibrator",
    "InterceptCalibrator",
    "IsotonicCalibrator",
    "PlattCalibrator",
    "ShrunkPlattCalibrator",
    "calibrator_from_dict",
    "fit_beta",
    "fit_identity",
    "fit_intercept",
    "fit_isotonic",
    "fit_platt",
    "fit_shrunk_platt",
    "logit",
    "raw_to_margin",
    "shift_to_rate",
    "sigmoid",
]
