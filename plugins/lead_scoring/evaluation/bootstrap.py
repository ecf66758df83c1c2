"""Bootstrap intervals: percentile, by resampling leads, seeded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CELLS = 4_000_000  # weights held at once: 32 MB, whatever the number of leads
LEADS_TIMES_RESAMPLES = 100_000_000  # past this, fewer resamples: a million leads have narrow intervals anyway
FEWEST_RESAMPLES = 200


def resamples_for(leads: int, wanted: int) -> int:
    """How many resamples are taken: ``wanted``, fewer (never below 200) for hundreds of thousands of leads."""
    return min(wanted, max(FEWEST_RESAMPLES, LEADS_TIMES_RESAMPLES // max(leads, 1)))


def weights(leads: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of shape (b, leads): how often each lead is drawn. Equal seeds give equal draws: that makes pairs."""
    generator = np.random.default_rng(seed)
    block = max(1, CELLS // max(leads, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = np.empty((size, leads))
        for row in range(size):
            drawn[row] = np.bincount(generator.integers(0, leads, leads), minlength=leads)
        yield drawn


def replicates(leads: int, statistic: Callable[[Floats], Floats], resamples: int, seed: int) -> Floats:
    """Values of a statistic on each resample.

    :param statistic: weights (b, leads) to values (b,) or (b, k).
    """
    return np.concatenate([statistic(block) for block in weights(leads, resamples, seed)])


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Middle ``level`` of the replicates; resamples without a value (one class only) are left out."""
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    leads: int, statistic: Callable[[Floats], Floats], *, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of one statistic (see :func:`replicates`)."""
    return percentile_interval(replicates(leads, statistic, resamples_for(leads, resamples), seed), level)


def paired_bootstrap(difference: ArrayLike, *, resamples: int, seed: int, level: float = 0.95) -> dict[str, float]:
    """Mean of a per-lead difference with its interval and standard error.

    :param difference: shape (n,), one number a lead, such as log loss of one method minus that of another. Pairing
        takes out what both have in common, so the interval is far narrower than that of either.
    """
    column = np.asarray(difference, dtype=np.float64)[:, None]
    return paired_bootstraps(column, resamples=resamples, seed=seed, level=level)[0]


def paired_bootstraps(
    differences: ArrayLike, *, resamples: int, seed: int, level: float = 0.95
) -> list[dict[str, float]]:
    """:func:`paired_bootstrap` of many differences on the same draws.

    :param differences: shape (n, k).
    """
    values = np.asarray(differences, dtype=np.float64)
    leads = len(values)
    means = replicates(leads, lambda block: block @ values / leads, resamples_for(leads, resamples), seed)
    errors = values.std(axis=0, ddof=1) / np.sqrt(leads) if leads > 1 else np.zeros(values.shape[1])
    found = []
    for index, error in enumerate(errors):
        low, high = percentile_interval(means[:, index], level)
        value = float(values[:, index].mean())
        found.append({"value": value, "low": low, "high": high, "standard_error": float(error)})
    return found
