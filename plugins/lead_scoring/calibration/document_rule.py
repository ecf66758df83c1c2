"""The document's comparison: isotonic against Platt, fitted and scored on the same leads. Labelled ``in_sample``.

Isotonic cannot lose it: the increasing curve of least squared error on these leads has, by construction, a Brier score
no higher than any other increasing curve on these leads. Kept because its figures must be reproducible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation import auc_pr, auc_roc, brier, lift, log_loss, top_rate
from lead_scoring.model.calibrators import sigmoid


@dataclass(frozen=True)
class DocumentCalibrator:
    """A calibrator as scikit-learn has it: on the raw score, without clip or tilt.

    :param predict: raw scores to probabilities.
    """

    predict: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def apply(self, margin: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.predict(sigmoid(margin))


def fit_document_isotonic(margin: NDArray[np.float64], target: NDArray[np.int8]) -> DocumentCalibrator:
    """Log loss out of sample is dominated by its zeros and ones: one wrong certainty costs 36 nats."""
    from sklearn.isotonic import IsotonicRegression

    return DocumentCalibrator(IsotonicRegression(out_of_bounds="clip").fit(sigmoid(margin), target).predict)


# In the cross-fitted table, so that one sees what the document's choice is worth on other leads. (Its Platt scaling is
# not there: it is within noise of Platt on the margin, and a hundred fits of it cost more than all other methods.)
DOCUMENT_FITTERS = {"isotonic (document's)": fit_document_isotonic}


def document_scores(raw_score: NDArray[np.float64], target: NDArray[np.int8]) -> dict[str, NDArray[np.float64]]:
    """scikit-learn's isotonic regression and its logistic regression (C=1) on the raw score, as in the document."""
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    column = raw_score.reshape(-1, 1)
    return {
        "isotonic": IsotonicRegression(out_of_bounds="clip").fit(raw_score, target).predict(raw_score),
        "platt": LogisticRegression().fit(column, target).predict_proba(column)[:, 1],
    }


def document_table(raw_score: NDArray[np.float64], target: NDArray[np.int8]) -> dict[str, Any]:
    """The document's section "Calibration Method Comparison" and its headline figures.

    :param raw_score: uncalibrated scores in [0, 1], shape (n,).
    """
    scores = document_scores(raw_score, target)
    rows: list[dict[str, Any]] = [
        {
            "method": method,
            "brier": brier(values, target),
            "log_loss": log_loss(values, target),
            "distinct_scores": len(np.unique(values)),
            # where tied leads share the tenth place, this lift and that of the raw score differ
            "lift_by_calibrated_score": lift(values, target),
        }
        for method, values in scores.items()
    ]
    selected = min(rows, key=lambda row: float(row["brier"]))["method"]
    return {
        "how": "in_sample",
        "n": len(target),
        "positives": int(target.sum()),
        "rows": rows,
        "selected": selected,
        "auc_roc": auc_roc(raw_score, target),
        "auc_pr": auc_pr(raw_score, target),
        "top_decile_lift": lift(raw_score, target),
        "top_decile_rate": top_rate(raw_score, target),
        "baseline_rate": float(target.mean()),
    }
