"""The families and a constant on the leads that judge: does what is shipped beat its simplest rivals there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation import auc_roc, lift, paired_bootstrap
from lead_scoring.evaluation.metrics import lead_losses
from lead_scoring.model.calibrators import fit_platt

Floats = NDArray[np.float64]
CONSTANT = "constant"


def holdout_losses(
    calibration: Mapping[str, Floats], calibration_target: NDArray[np.int8],
    judged: Mapping[str, Floats], judged_target: NDArray[np.int8],
) -> dict[str, Floats]:  # fmt: skip
    """Log loss of each judged lead under each family and under a constant, shape (n,).

    Each family gets the same two-parameter Platt fit, on the calibration leads, so what differs is the ranking.

    :param calibration: family to margins of the calibration leads. :param judged: likewise, of the leads that judge.
    """
    scores = {name: fit_platt(margin, calibration_target).apply(judged[name]) for name, margin in calibration.items()}
    scores[CONSTANT] = np.full(len(judged_target), float(calibration_target.mean()))
    return {name: lead_losses(values, judged_target) for name, values in scores.items()}


def compare(
    losses: Mapping[str, Floats],
    judged: Mapping[str, Floats],
    target: NDArray[np.int8],
    *,
    chosen: str,
    how: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The table of the families, and one sentence.

    :param losses: family, and ``constant``, to log loss of each lead that judges.
    :param judged: family to margins of these leads. :param chosen: the family that is shipped.
    :param how: ``holdout`` or ``cross_fit``.
    """
    rows = []
    for name, values in losses.items():
        row: dict[str, Any] = {"model": name, "how": how, "log_loss": float(values.mean())}
        if name != CONSTANT:
            row |= {"auc_roc": auc_roc(judged[name], target), "top_decile_lift": lift(judged[name], target)}
        if name != chosen:
            row["worse_than_chosen_by"] = paired_bootstrap(values - losses[chosen], resamples=resamples, seed=seed)
        rows.append(row)
    best = min(rows, key=lambda row: float(row["log_loss"]))
    return {"rows": rows, "best": best["model"], "chosen": chosen, "sentence": _sentence(best, rows, chosen)}


def _sentence(best: Mapping[str, Any], rows: list[dict[str, Any]], chosen: str) -> str:
    name = best["model"]
    if name != chosen:
        if best["worse_than_chosen_by"]["high"] < 0:
            return f"The {name} beats the {chosen} that is shipped, beyond noise."
        return f"The {name} has a lower log loss than the {chosen} that is shipped; the difference is within noise."
    within = [row["model"] for row in rows if row is not best and row["worse_than_chosen_by"]["low"] <= 0]
    if within:
        return f"The {chosen} has the lowest log loss; its lead over the {' and the '.join(within)} is within noise."
    return f"The {chosen} has the lowest log loss, beyond noise."
