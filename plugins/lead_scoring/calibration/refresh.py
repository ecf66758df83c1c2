"""A new intercept for a moved base rate, without a new booster or a new curve.

Between the document's train and test leads the base rate went from 2.88 to 4.20 %: every score was a third too low, and
the ranking was as good as before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation import log_loss
from lead_scoring.model.calibrators import Calibrator, logit, shift_to_rate


def refresh_intercept(
    calibrator: Calibrator, margin: NDArray[np.float64], target: NDArray[np.int8]
) -> tuple[Calibrator, dict[str, Any]]:
    """The same calibrator, shifted in log-odds until its mean score on these leads is their conversion rate.

    :param margin: log-odds of recent leads with known outcomes, shape (n,).
    :returns: the shifted calibrator, and what was done: shift, rates, log loss before and after (in sample: one
        parameter).
    """
    before = calibrator.apply(margin)
    rate = float(target.mean())
    shift = shift_to_rate(logit(before), rate)
    refreshed = calibrator.shifted(shift)
    after = refreshed.apply(margin)
    return refreshed, {
        "how": "in_sample",
        "n": len(target),
        "positives": int(target.sum()),
        "shift_log_odds": shift,
        "mean_score_before": float(before.mean()),
        "mean_score_after": float(after.mean()),
        "rate": rate,
        "log_loss_before": log_loss(before, target),
        "log_loss_after": log_loss(after, target),
    }
