"""Point figures of a ranking and of probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lead_scoring.evaluation.ranking import TieGroups

EPSILON = float(np.finfo(np.float64).eps)  # scikit-learn's clip: log loss of an isotonic 0.0 or 1.0 stays finite


def auc_roc(score: ArrayLike, target: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half. NaN with one class."""
    return float(TieGroups.of(score, target).auc_roc()[0])


def auc_pr(score: ArrayLike, target: ArrayLike) -> float:
    """Average precision. NaN without positives."""
    return float(TieGroups.of(score, target).auc_pr()[0])


def lead_losses(probability: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Log loss of each lead, shape (n,), in nats."""
    clipped = np.clip(np.asarray(probability, dtype=np.float64), EPSILON, 1 - EPSILON)
    return np.asarray(-np.where(np.asarray(target) == 1, np.log(clipped), np.log1p(-clipped)))


def log_loss(probability: ArrayLike, target: ArrayLike) -> float:
    """Mean negative log-likelihood, in nats; probabilities are clipped at the machine epsilon."""
    return float(np.mean(lead_losses(probability, target)))


def brier(probability: ArrayLike, target: ArrayLike) -> float:
    """Mean squared difference between probability and outcome (Brier 1950)."""
    difference = np.asarray(probability, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    return float(np.mean(difference * difference))


def constant_log_loss(rate: float) -> float:
    """Log loss of the constant ``rate`` on leads that convert at that rate: what a model has to beat."""
    if rate <= 0 or rate >= 1:
        return 0.0
    return float(-(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))


def skill(value: float, constant: float) -> float:
    """Share of the constant's loss that is gone: 1 is perfect, 0 is the constant, below 0 is worse than it.

    A Brier score below 0.05 proves nothing at a 4 % base rate, where the constant scores 0.0402.
    """
    return 1 - value / constant if constant else 0.0
