"""The comparison of calibrators: the document's table and the honest one, and the choice between the methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.calibration.cross_fit import CONSTANT, CrossFit, cross_fit
from lead_scoring.calibration.document_rule import DOCUMENT_FITTERS, document_table
from lead_scoring.calibration.selection import Selection, candidate_methods, select
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.evaluation import ece, ece_noise_floor, paired_bootstraps, resamples_for, skill, slope_intercept
from lead_scoring.model.calibrators import CALIBRATORS, FITTERS, Calibrator, sigmoid
from lead_scoring.settings import CalibrationSettings

ONE_STANDARD_ERROR = "one_standard_error"
DOCUMENT = "document"
RULES = (ONE_STANDARD_ERROR, DOCUMENT)


class NothingBeatsTheConstant(CheckFailed):
    """No calibrator beats the constant; with the tables that show it.

    :param in_sample: the document's table. :param cross_fit: the honest one, without a selected method.
    """

    def __init__(self, message: str, in_sample: dict[str, Any], cross_fit: dict[str, Any]) -> None:
        super().__init__(message)
        self.in_sample, self.cross_fit = in_sample, cross_fit


@dataclass(frozen=True)
class Calibration:
    """:param calibrator: the chosen method, fitted on all leads.

    :param in_sample: the document's table. :param cross_fit: the honest one. Both JSON-ready, both say how.
    :param reason: why this method, one sentence.
    :param alternatives: every method fitted on all leads, for the picture.
    :param out_of_fold: scores of the chosen method by calibrators that did not see the lead, shape (n,).
    """

    calibrator: Calibrator
    rule: str
    reason: str
    in_sample: dict[str, Any]
    cross_fit: dict[str, Any]
    alternatives: dict[str, Calibrator]
    out_of_fold: NDArray[np.float64]


def calibrate(
    *,
    margin: NDArray[np.float64],
    target: NDArray[np.int8],
    settings: CalibrationSettings,
    raw_score: NDArray[np.float64] | None = None,
    rule: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Compare the methods on leads the booster never saw, choose one, fit it on all of them.

    :param margin: log-odds, shape (n,), checked (see ``inputs``).
    :param raw_score: its sigmoid as it was given, for the document's table; None: computed.
    :param rule: ``one_standard_error`` or ``document``; None: the setting.
    :raises NothingBeatsTheConstant: no method does (``one_standard_error`` only).
    """
    rule = rule or settings.rule
    if rule not in RULES:
        raise BadInput(f"calibration rule is {rule!r}; it must be one of {', '.join(RULES)}")
    positives = int(target.sum())
    in_sample = document_table(sigmoid(margin) if raw_score is None else raw_score, target)
    methods = candidate_methods(positives)
    reported = list(CALIBRATORS)  # those that need more conversions are shown too, so that one sees what they cost
    fitted = cross_fit(
        margin,
        target,
        reported,
        folds=settings.folds,
        repeats=settings.repeats,
        seed=settings.seed,
        extra=DOCUMENT_FITTERS,
        progress=progress,
    )
    considered = {name: fitted.losses[name] for name in (CONSTANT, *methods)}
    best = min(methods, key=lambda name: float(considered[name].mean()))
    if rule == DOCUMENT:
        method = str(in_sample["selected"])
        reason = f"{method} has the lower Brier score on the leads it was fitted on (the document's rule, in sample)"
        selection = Selection(method, best, reason)
    else:
        try:
            selection = select(considered)
        except CheckFailed as error:
            table = _cross_fit_table(fitted, target, best, None, methods, settings)
            raise NothingBeatsTheConstant(str(error), in_sample, table) from None
    alternatives = {name: FITTERS[name](margin, target) for name in reported}
    return Calibration(
        calibrator=alternatives[selection.method],
        rule=rule,
        reason=selection.reason,
        in_sample=in_sample,
        cross_fit=_cross_fit_table(fitted, target, selection.best, selection.method, methods, settings),
        alternatives=alternatives,
        out_of_fold=fitted.first[selection.method],
    )


def _cross_fit_table(
    fitted: CrossFit,
    target: NDArray[np.int8],
    best: str,
    selected: str | None,
    methods: list[str],
    settings: CalibrationSettings,
) -> dict[str, Any]:
    """Means over all repeats; slope, intercept and calibration error from the first repeat's out-of-fold scores."""
    floor = {"brier": float(fitted.squared[CONSTANT].mean()), "log_loss": float(fitted.losses[CONSTANT].mean())}
    # paired: both losses are of the same leads, so an interval shows the difference and not the leads
    against = [fitted.losses[best], fitted.losses[CONSTANT]]
    pairs = iter(
        paired_bootstraps(
            np.stack([losses - other for losses in fitted.losses.values() for other in against], axis=1),
            resamples=settings.bootstrap,
            seed=settings.seed,
        )
    )
    rows = []
    for name, losses in fitted.losses.items():
        first = fitted.first[name]
        slope, intercept = (None, None) if name == CONSTANT else slope_intercept(first, target)
        squared = fitted.squared[name]
        rows.append({
            "method": name,
            "candidate": name in methods,
            "brier": float(squared.mean()),
            "log_loss": float(losses.mean()),
            "brier_skill": skill(float(squared.mean()), floor["brier"]),
            "log_loss_skill": skill(float(losses.mean()), floor["log_loss"]),
            "log_loss_over_best": next(pairs),
            "log_loss_over_constant": next(pairs),
            "slope": slope,
            "intercept": intercept,
            "ece": ece(first, target),
            "ece_noise_floor": ece_noise_floor(first, seed=settings.seed),
        })
    return {
        "how": "cross_fit",
        "n": len(target),
        "positives": int(target.sum()),
        "folds": fitted.folds,
        "repeats": fitted.repeats,
        "resamples": resamples_for(len(target), settings.bootstrap),
        "best": best,
        "selected": selected,
        "rows": rows,
    }
