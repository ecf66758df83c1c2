"""The one-standard-error rule (Breiman et al. 1984) on paired, cross-fitted log loss.

Differences among the smooth methods are noise at the sizes that lead scoring has, and every parameter must be paid for
with conversions. So Platt shrunk towards slope 1 is the default. It gives way only where a more flexible calibrator is
better by more than one standard error; then the simplest of these within one standard error of the best is taken. A
simpler one cannot displace it: it gives nearly the same scores, so that their difference has nearly no standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lead_scoring.calibration.cross_fit import CONSTANT
from lead_scoring.errors import CheckFailed
from lead_scoring.model.calibrators import CALIBRATORS, DEFAULT


@dataclass(frozen=True)
class Selection:
    """:param best: the method with the lowest mean loss. :param reason: one sentence."""

    method: str
    best: str
    reason: str


def candidate_methods(positives: int) -> list[str]:
    """The calibrators that so many conversions can pay for, simplest first."""
    return [name for name, kind in CALIBRATORS.items() if positives >= kind.minimum_positives]


def select(losses: dict[str, NDArray[np.float64]]) -> Selection:
    """The default, unless a more flexible one is better by more than one standard error: then the simplest as good.

    :param losses: method to out-of-fold log loss of each lead, shape (n,), the constant among them.
    :raises CheckFailed: no method beats the constant: these scores say nothing that the base rate does not say.
    """
    floor = float(losses[CONSTANT].mean())
    means = {name: float(losses[name].mean()) for name in CALIBRATORS if name in losses}
    able = [name for name, mean in means.items() if mean < floor]
    if not able:
        nearest = min(means, key=means.__getitem__)
        raise CheckFailed(
            f"no calibrator beats the constant base rate: cross-fitted log loss of the best ({nearest}) is "
            f"{means[nearest]:.6f}, of the constant {floor:.6f}; train on better features or more conversions"
        )
    if DEFAULT in able:
        able = able[able.index(DEFAULT) :]
    best = min(able, key=means.__getitem__)
    for name in sorted(able, key=lambda name: name != DEFAULT):  # a stable sort: the default, then simplest first
        difference = losses[name] - losses[best]
        error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
        if float(difference.mean()) <= error:
            break
    if name == best:
        reason = f"{name} has the lowest cross-fitted log loss"
    else:
        kind = "the default, and" if name == DEFAULT else "the simplest"
        reason = (
            f"{name} is {kind} within one standard error of the best ({best}): its log loss is "
            f"{means[name] - means[best]:.6f} higher, one standard error of that difference is {error:.6f}"
        )
    return Selection(name, best, reason)
