"""Ranking figures: AUC, average precision, lift and deciles, plain or under bootstrap weights.

A ranking is a list of tie groups, best first. Leads that share a score share their places: a cut that goes through a
tie group takes each of its leads in part. So no figure depends on the order of the input, as it does when ties are
broken by position (measured on an isotonic calibrator with 11 distinct scores: lift 2.48 to 4.13 by input order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

TOP_SHARE = 0.1


@dataclass(frozen=True)
class TieGroups:
    """Leads and conversions of each distinct score, best score first.

    :param size: leads, shape (b, g): b sets of weights, g distinct scores.
    :param positive: conversions, same shape.
    """

    size: Floats
    positive: Floats

    @classmethod
    def of(cls, score: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> TieGroups:
        """:param weights: shape (b, n): how often each lead was drawn; None: once."""
        values = np.asarray(score, dtype=np.float64)
        order = np.argsort(-values, kind="stable")
        ranked = values[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        drawn = np.ones((1, len(values))) if weights is None else np.asarray(weights, dtype=np.float64)
        drawn = drawn[:, order]
        converted = drawn * np.asarray(target, dtype=np.float64)[order]
        if len(starts) == len(values):  # no ties, as with margins: every lead is a group
            return cls(drawn, converted)
        return cls(np.add.reduceat(drawn, starts, axis=1), np.add.reduceat(converted, starts, axis=1))

    def auc_roc(self) -> Floats:
        """Probability that a conversion outranks a lead that did not convert; a tie counts one half. Shape (b,)."""
        negative = self.size - self.positive
        total = negative.sum(axis=1)
        below = total[:, None] - np.cumsum(negative, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(
                (self.positive * (below + negative / 2)).sum(axis=1) / (self.positive.sum(axis=1) * total)
            )

    def auc_pr(self) -> Floats:
        """Average precision (no interpolation), as scikit-learn defines it. Shape (b,)."""
        found = np.cumsum(self.positive, axis=1)
        seen = np.cumsum(self.size, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(seen > 0, found / seen, 0.0)
            return np.asarray((self.positive * precision).sum(axis=1) / found[:, -1])

    def found_in_top(self, leads: int) -> Floats:
        """Expected conversions among the best ``leads`` leads. Shape (b,)."""
        seen = np.cumsum(self.size, axis=1)
        taken = np.clip(leads - (seen - self.size), 0.0, self.size)
        share = np.divide(taken, self.size, out=np.zeros_like(taken), where=self.size > 0)
        return np.asarray((share * self.positive).sum(axis=1))

    def found_at(self, cuts: list[int]) -> Floats:
        """Expected conversions among the best leads, for several counts of leads at once. Shape (b, len(cuts))."""
        seen, found = np.cumsum(self.size, axis=1), np.cumsum(self.positive, axis=1)
        # inside a tie group conversions rise in proportion: a straight line between its ends
        return np.stack([
            np.interp(cuts, np.r_[0, one], np.r_[0, other]) for one, other in zip(seen, found, strict=True)
        ])

    def base_rate(self) -> Floats:
        return np.asarray(self.positive.sum(axis=1) / self.size.sum(axis=1))


def top_count(leads: int, share: float = TOP_SHARE) -> int:
    """How many leads the top share holds: rounded down, at least one. The document takes n // 10."""
    return max(1, int(leads * share + 1e-9))


def top_rate(score: ArrayLike, target: ArrayLike, share: float = TOP_SHARE) -> float:
    """Conversion rate of the best share of the leads."""
    groups = TieGroups.of(score, target)
    count = top_count(np.size(np.asarray(target)), share)
    return float(groups.found_in_top(count)[0] / count)


def tied_in_top(score: ArrayLike, share: float = TOP_SHARE) -> float:
    """Share of the best leads that have the very score of another one of them: nobody can say whom to call first."""
    values = np.sort(np.asarray(score, dtype=np.float64))[::-1][: top_count(np.size(np.asarray(score)), share)]
    _, counts = np.unique(values, return_counts=True)
    return float(counts[counts > 1].sum() / len(values))


def lift(score: ArrayLike, target: ArrayLike, share: float = TOP_SHARE) -> float:
    """Conversion rate of the best share over that of all leads. Give it the margin: calibrated scores may tie."""
    return top_rate(score, target, share) / float(np.mean(np.asarray(target, dtype=np.float64)))


def tenths(leads: int, parts: int = 10) -> list[int]:
    """Where the parts of a ranking of ``leads`` leads begin and end, ``parts + 1`` numbers."""
    return [part * leads // parts for part in range(parts + 1)]


def deciles(score: ArrayLike, target: ArrayLike, parts: int = 10) -> list[dict[str, Any]]:
    """Leads, conversions, rate and lift of each tenth, best first, each with its 95 % interval.

    Both intervals are exact ones of a share (Clopper and Pearson 1934): the rate is a share of the tenth's leads, the
    lift ten times the tenth's share of all conversions. A tenth without a conversion has an upper bound too, where
    resampling gives an interval of zero width.
    """
    from lead_scoring.evaluation.reliability import exact_interval

    groups = TieGroups.of(score, target)
    base = float(groups.base_rate()[0])
    cuts = tenths(int(np.size(np.asarray(target))), parts)
    found = groups.found_at(cuts)[0]
    total = float(found[-1])
    leads = cuts[-1]
    rows = []
    for part in range(parts):
        size, positives = cuts[part + 1] - cuts[part], float(found[part + 1] - found[part])
        if size == 0:
            continue
        low, high = exact_interval(positives, size)
        share_low, share_high = exact_interval(positives, total)
        rate = positives / size
        rows.append({
            "decile": part + 1,
            "leads": size,
            "positives": round(positives, 6),
            "rate": rate,
            "low": low,
            "high": high,
            "lift": rate / base if base else 0.0,
            "lift_low": share_low * leads / size,
            "lift_high": share_high * leads / size,
        })
    return rows
