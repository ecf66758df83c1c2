"""Logistic arithmetic that every calibrator shares: sigmoid, log-odds and a small Newton fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FLOOR = 1e-12  # scores stay this far inside (0, 1), so that their log-odds are finite
RAW_FLOOR = 1e-7  # a float32 sigmoid knows no more: 1.0000001 was seen
MINIMUM_SLOPE = 1e-3  # a calibrator must not turn the ranking round, not even in an unlucky fold
ITERATIONS = 50
TOLERANCE = 1e-10


def inside(probability: Floats) -> Floats:
    """Strictly between 0 and 1."""
    return np.clip(probability, FLOOR, 1 - FLOOR)


def sigmoid(margin: ArrayLike) -> Floats:
    """Probability of a log-odds margin, without overflow."""
    values = np.asarray(margin, dtype=np.float64)
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small))


def logit(probability: ArrayLike) -> Floats:
    """Log-odds of a probability strictly inside (0, 1)."""
    values = np.asarray(probability, dtype=np.float64)
    return np.asarray(np.log(values) - np.log1p(-values))


def softplus(values: ArrayLike) -> Floats:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0.0, np.asarray(values, dtype=np.float64))


def raw_to_margin(raw_score: ArrayLike) -> Floats:
    """The margin behind a sigmoid score in [0, 1]; saturated scores are taken as 1e-7 away from the end."""
    return logit(np.clip(np.asarray(raw_score, dtype=np.float64), RAW_FLOOR, 1 - RAW_FLOOR))


def fit_logistic(
    design: Floats,
    target: Floats,
    start: Floats,
    offset: Floats | None = None,
    prior: tuple[Floats, Floats] | None = None,
) -> Floats:
    """Maximum likelihood of a logistic model by Newton steps with halving.

    :param design: shape (n, k), k small.
    :param target: shape (n,), 0 to 1; soft labels are allowed.
    :param start: shape (k,).
    :param offset: shape (n,): a part of the linear predictor that is not fitted.
    :param prior: means and precisions (1 / variance) of independent normal priors, each of shape (k,): then the mode of
        the posterior. None: no prior.
    :returns: shape (k,).
    """
    beta = start.astype(np.float64)
    fixed = 0.0 if offset is None else offset
    mean, precision = (np.zeros_like(beta), np.zeros_like(beta)) if prior is None else prior
    scale = 1 / len(target)  # the likelihood is a mean over the leads

    def objective(weights: Floats) -> tuple[Floats, float]:
        probability, loss = _likelihood(design @ weights + fixed, target)
        return probability, loss + scale * float((precision * (weights - mean) ** 2).sum()) / 2

    probability, loss = objective(beta)
    for _ in range(ITERATIONS):
        gradient = design.T @ (probability - target) + precision * (beta - mean)
        hessian = design.T @ (design * (probability * (1 - probability))[:, None]) + np.diag(precision)
        hessian[np.diag_indices_from(hessian)] += 1e-9 * (1 + np.trace(hessian))
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while True:
            candidate = beta - size * step
            probability_candidate, loss_candidate = objective(candidate)
            if loss_candidate <= loss or size < 1e-6:
                break
            size /= 2
        gained = loss - loss_candidate
        if gained < 0:
            break
        beta, probability, loss = candidate, probability_candidate, loss_candidate
        if gained < TOLERANCE:
            break
    return beta


def _likelihood(linear: Floats, target: Floats) -> tuple[Floats, float]:
    """Probabilities and mean negative log-likelihood from one exponential: calibration spends its time here."""
    small = np.exp(-np.abs(linear))
    probability = np.where(linear >= 0, 1.0, small) / (1.0 + small)
    return probability, float(np.mean(np.maximum(linear, 0.0) + np.log1p(small) - target * linear))


def platt_targets(target: ArrayLike) -> Floats:
    """Labels moved inside (0, 1) as Platt (1999) does it, so that separable data keep the fit finite."""
    labels = np.asarray(target, dtype=np.float64)
    positives = float(labels.sum())
    negatives = len(labels) - positives
    return np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
