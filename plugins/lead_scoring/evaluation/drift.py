"""How much one feature says alone of the outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lead_scoring.evaluation.metrics import auc_roc

SMOOTHING = 0.5  # leads added to each bin, so that an empty one gives a large number and not an infinite one


def _cuts(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.empty(0)
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))


def _shares(values: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smoothed share of each bin; the last bin holds the missing values."""
    number = np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, side="right"))
    counts = np.bincount(number, minlength=len(cuts) + 2) + SMOOTHING
    return np.asarray(counts / counts.sum())


def information_value(feature: ArrayLike, target: ArrayLike, bins: int = 10) -> float:
    """Information value of one feature for the target, over quantile bins, missing values as a bin of their own."""
    values, labels = np.asarray(feature, dtype=np.float64), np.asarray(target)
    cuts = _cuts(values, bins)
    p, q = _shares(values[labels == 1], cuts), _shares(values[labels == 0], cuts)
    return float(np.sum((p - q) * np.log(p / q)))


def single_feature_auc(feature: ArrayLike, target: ArrayLike) -> float:
    """AUC of one feature alone, in the better direction; missing values rank together, at the better end."""
    values = np.asarray(feature, dtype=np.float64)
    missing = np.isnan(values)
    if not missing.any():
        auc = auc_roc(values, target)
        return max(auc, 1 - auc)
    if missing.all():
        return 0.5
    known = values[~missing]
    found = []
    for filler in (known.min() - 1, known.max() + 1):
        auc = auc_roc(np.where(missing, filler, values), target)
        found.append(max(auc, 1 - auc))
    return max(found)
