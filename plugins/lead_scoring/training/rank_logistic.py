"""Logistic regression on quantile ranks: the simplest rival of a booster, and a family of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lead_scoring.model.one_booster import Steps

# Ranks in so many steps. Finer steps change no figure: a step holds less than one lead in a hundred.
MOST_STEPS = 128


@dataclass(frozen=True)
class RankLogistic:
    """:param steps: one step function a feature. :param intercept: in log-odds."""

    steps: tuple[Steps, ...]
    intercept: float

    def margins(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """:param features: shape (n, k), NaN for missing. :returns: log-odds, shape (n,)."""
        return self.intercept + np.sum([step.apply(features[:, step.feature]) for step in self.steps], axis=0)


def fit_rank_logistic(features: NDArray[np.float64], target: NDArray[np.int8]) -> RankLogistic:
    """Each feature's rank in steps, a flag where values are missing, an L2 penalty of 1. Nothing is drawn or tuned.

    :param features: shape (n, k), NaN for missing. :param target: 0 or 1, both present.
    """
    from sklearn.linear_model import LogisticRegression

    ranked = [_ranks(column) for column in features.T]
    columns, flags = [], []
    for place, (edges, ranks, _) in enumerate(ranked):
        column = features[:, place]
        missing = np.isnan(column)
        found = ranks[np.searchsorted(edges, column.astype(np.float32), side="right")]
        columns.append(np.where(missing, 0.0, found))
        if missing.any():
            flags.append(place)
    design = np.column_stack([*columns, *(np.isnan(features[:, place]).astype(float) for place in flags)])
    fitted = LogisticRegression(max_iter=1000, tol=1e-8).fit(design, target)
    weights = fitted.coef_[0]
    absent = dict(zip(flags, weights[features.shape[1] :], strict=True))
    steps = tuple(
        Steps(
            feature=place,
            edges=edges,
            values=float(weights[place]) * ranks,
            leads=counts.astype(np.float64),
            missing=float(absent.get(place, 0.0)),
            missing_leads=max(float(np.isnan(features[:, place]).sum()), 1.0),  # TreeSHAP divides by it
        )
        for place, (edges, ranks, counts) in enumerate(ranked)
    )
    return RankLogistic(steps, float(fitted.intercept_[0]))


def _ranks(column: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Edges of the steps, the mean rank of each step (-0.5 to 0.5) and its leads."""
    present = np.sort(column[~np.isnan(column)].astype(np.float32))
    if not len(present):
        return np.empty(0, dtype=np.float32), np.zeros(1), np.zeros(1, dtype=np.int64)
    levels = np.linspace(0.0, 1.0, MOST_STEPS + 1)[1:-1]
    edges = np.unique(np.quantile(present, levels, method="higher"))
    edges = edges[edges > present[0]]  # nothing lies below the first edge otherwise
    counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
    ranks = (np.cumsum(counts) - counts / 2) / len(present) - 0.5
    return edges, ranks, counts
