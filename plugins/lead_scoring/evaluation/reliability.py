"""Does a score of 4 % convert at 4 %: bins with intervals, slope and intercept, expected calibration error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10
Z95 = 1.959963984540054
CLIP = 1e-12
TIE = 2e-6  # a calibrator that ranks the leads of one step does it by a millionth: that is no other score


def wilson(positives: float, leads: float, z: float = Z95) -> tuple[float, float]:
    """Interval of a rate (Wilson 1927): right also for 0 of 50, where the textbook interval is empty."""
    if leads <= 0:
        return 0.0, 1.0
    rate = positives / leads
    denominator = 1 + z * z / leads
    centre = (rate + z * z / (2 * leads)) / denominator
    half = z / denominator * math.sqrt(max(0.0, rate * (1 - rate) / leads + z * z / (4 * leads * leads)))
    return max(0.0, centre - half), min(1.0, centre + half)


def exact_interval(positives: float, leads: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a rate (Clopper and Pearson 1934): covers at least ``level`` also where few or none converted.

    :param positives: may be a fraction, where tied leads share a place.
    """
    from scipy.stats import beta

    if leads <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, positives, leads - positives + 1)) if positives > 0 else 0.0
    high = float(beta.ppf(1 - tail, positives + 1, leads - positives)) if positives < leads else 1.0
    return low, high


def _bins(probability: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Bin number of each lead: equal counts by rank, leads with one score, to within ``TIE``, in one bin.

    Between two large steps a few leads may be left over: with less than half a bin they join the bin below, or the one
    above at the lower end. A bin of two leads has an interval that says nothing.
    """
    distinct, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    run = np.cumsum(np.r_[True, np.diff(distinct) > TIE]) - 1  # neighbours that lie within TIE of one another
    first = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    span = distinct[np.r_[first[1:], len(distinct)] - 1] - distinct[first]
    # A run longer than TIE is no step but many leads close together: its scores stay apart.
    group = np.cumsum(np.r_[True, (run[1:] != run[:-1]) | (span[run[1:]] > TIE)]) - 1
    size = np.bincount(group, weights=counts)
    middle = np.cumsum(size) - size / 2
    number = np.minimum((middle * bins / len(probability)).astype(np.int64), bins - 1)
    filled = np.bincount(number, weights=size, minlength=bins)
    joined = np.arange(bins)
    for low in range(bins):
        if 0 < filled[low] < len(probability) / bins / 2 and filled[low] < filled.sum():
            others = np.flatnonzero(filled)
            near = others[others < low][-1] if (others < low).any() else others[others > low][0]
            joined[joined == low] = near
            filled[near] += filled[low]
            filled[low] = 0
    return np.asarray(joined[number][group][inverse], dtype=np.int64)


def reliability(probability: ArrayLike, target: ArrayLike, bins: int = BINS) -> list[dict[str, Any]]:
    """Mean score, conversion rate and its 95 % Wilson interval in bins of equal size, lowest first."""
    scores, labels = np.asarray(probability, dtype=np.float64), np.asarray(target, dtype=np.float64)
    number = _bins(scores, bins)
    rows = []
    for value in np.unique(number):
        chosen = number == value
        leads, positives = int(chosen.sum()), float(labels[chosen].sum())
        low, high = wilson(positives, leads)
        rows.append({
            "leads": leads,
            "positives": int(positives),
            "score": float(scores[chosen].mean()),
            "rate": positives / leads,
            "low": low,
            "high": high,
        })
    return rows


def ece(probability: ArrayLike, target: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of score and rate over bins of equal size, weighted by leads.

    Biased upwards: a perfect model has one too. Read it beside :func:`ece_noise_floor` (Roelofs et al. 2012.08668).
    """
    scores = np.asarray(probability, dtype=np.float64)
    return _ece(scores, np.asarray(target, dtype=np.float64), _bins(scores, bins), bins)


def _ece(scores: NDArray[np.float64], labels: NDArray[np.float64], number: NDArray[np.int64], bins: int) -> float:
    gap = np.bincount(number, weights=scores - labels, minlength=bins)
    return float(np.abs(gap).sum() / len(scores))


def ece_noise_floor(probability: ArrayLike, *, seed: int, draws: int = 200, bins: int = BINS) -> dict[str, float]:
    """Expected calibration error of a perfect model with these scores: mean and 95th percentile.

    Outcomes are drawn from the scores themselves, so what remains is the noise of so many leads in so many bins.
    """
    scores = np.asarray(probability, dtype=np.float64)
    number = _bins(scores, bins)
    generator = np.random.default_rng(seed)
    values = [
        _ece(scores, (generator.random(len(scores)) < scores).astype(np.float64), number, bins) for _ in range(draws)
    ]
    return {"mean": float(np.mean(values)), "p95": float(np.quantile(values, 0.95))}


def slope_intercept(
    probability: ArrayLike, target: ArrayLike
) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """Logistic recalibration of the outcomes on the score's log-odds (Cox 1958), each with its 95 % Wald interval.

    The slope is that of the two-parameter fit: 1 is right, below 1 says that high scores are too high and low ones too
    low. The intercept is calibration in the large (Van Calster et al. 2019): the log-odds by which the scores are too
    low as a whole, with the slope held at 1; 0 is right. The intercept of the two-parameter fit is none of that: it is
    the line's value at a score of 50 %, which at a 4 % base rate no lead has.

    :returns: slope and intercept, each ``{"value", "low", "high"}``; None where there is none: both with one class, the
        slope with one score.
    """
    from sklearn.linear_model import LogisticRegression

    scores = np.clip(np.asarray(probability, dtype=np.float64), CLIP, 1 - CLIP)
    labels = np.asarray(target, dtype=np.float64)
    if len(np.unique(labels)) < 2:
        return None, None
    log_odds = np.log(scores) - np.log1p(-scores)
    shift = _shift(log_odds, float(labels.mean()))
    intercept = _wald(shift, 1 / float(_spread(log_odds + shift).sum()))
    if float(np.ptp(log_odds)) == 0.0:
        return None, intercept
    centre, spread = float(log_odds.mean()), float(log_odds.std())
    standard = (log_odds - centre) / spread  # scikit-learn's stopping rule is for features of this scale
    fitted = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000).fit(standard.reshape(-1, 1), labels)
    slope = float(fitted.coef_[0, 0]) / spread
    weight = _spread(slope * (log_odds - centre) + float(fitted.intercept_[0]))
    centred = log_odds - float((weight * log_odds).sum() / weight.sum())
    return _wald(slope, 1 / float((weight * centred * centred).sum())), intercept


def _spread(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """p (1 - p): the information that each lead has on its log-odds. Never zero, so that no variance is infinite."""
    probability = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return np.asarray(probability * (1 - probability))


def _shift(log_odds: NDArray[np.float64], rate: float) -> float:
    """The maximum-likelihood intercept at slope 1: with it the mean score is the rate. By bisection: it is monotone."""
    wanted = math.log(rate) - math.log1p(-rate)
    low, high = wanted - float(log_odds.max()), wanted - float(log_odds.min())
    for _ in range(60):
        middle = (low + high) / 2
        if float((1 / (1 + np.exp(-(log_odds + middle)))).mean()) > rate:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _wald(value: float, variance: float) -> dict[str, float]:
    half = Z95 * math.sqrt(variance)
    return {"value": value, "low": value - half, "high": value + half}
