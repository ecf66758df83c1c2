"""All figures of one set of scores, each with how it was obtained, n, positives and a 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lead_scoring.evaluation.bootstrap import percentile_interval, replicates, resamples_for
from lead_scoring.evaluation.metrics import lead_losses
from lead_scoring.evaluation.ranking import TieGroups, deciles, lift, tied_in_top, top_count, top_rate
from lead_scoring.evaluation.reliability import ece, ece_noise_floor, slope_intercept

HOW = ("in_sample", "cross_fit", "holdout")
SEGMENT_LEADS = 100  # a segment with less says nothing about itself
SEGMENT_POSITIVES = 10


def evaluate(
    margin: ArrayLike,
    target: ArrayLike,
    *,
    how: str,
    resamples: int,
    seed: int,
    probability: ArrayLike | None = None,
    constant: float | None = None,
) -> dict[str, Any]:
    """Figures of one set of leads.

    :param margin: log-odds, shape (n,): the ranking.
    :param how: ``in_sample``, ``cross_fit`` or ``holdout``: how the scores were obtained.
    :param probability: calibrated scores, shape (n,); without them only the ranking is reported.
    :param constant: the rate that a constant score would have had (that of earlier leads); None: that of these leads,
        which is the harder one to beat.
    :returns: ``{"how", "n", "positives", "resamples", "auc_roc": {"value", "low", "high"}, ..., "deciles": [...]}``.
    """
    if how not in HOW:
        raise ValueError(f"how is {how!r}; it must be one of {HOW}")
    labels = np.asarray(target, dtype=np.float64)
    scores = np.asarray(margin, dtype=np.float64)
    leads = len(labels)
    taken = resamples_for(leads, resamples)
    names = ["auc_roc", "auc_pr", "top_decile_lift", "top_decile_rate", "baseline_rate"]
    count = top_count(leads)
    columns: list[NDArray[np.float64]] = []
    if probability is not None:
        calibrated = np.asarray(probability, dtype=np.float64)
        columns = [(calibrated - labels) ** 2, lead_losses(calibrated, labels)]
        names += ["brier", "log_loss", "brier_skill", "log_loss_skill"]

    def figures(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        groups = TieGroups.of(scores, labels, weights)
        base, top = groups.base_rate(), groups.found_in_top(count) / count
        with np.errstate(invalid="ignore", divide="ignore"):
            found = [groups.auc_roc(), groups.auc_pr(), top / base, top, base]
            losses = [np.array([item.mean()]) if weights is None else weights @ item / leads for item in columns]
            found += losses
            found += [1 - loss / floor for loss, floor in zip(losses, _constant_losses(base, constant), strict=False)]
        return np.stack(found, axis=1)

    values = figures(None)[0]
    draws = replicates(leads, figures, taken, seed)
    result: dict[str, Any] = {"how": how, "n": leads, "positives": int(labels.sum()), "resamples": taken}
    for index, name in enumerate(names):
        low, high = percentile_interval(draws[:, index])
        result[name] = {"value": float(values[index]), "low": low, "high": high}
    result["deciles"] = deciles(scores, labels)
    # one interval for the top decile, wherever it is named
    top = result["deciles"][0]
    if top["leads"] == count:
        result["top_decile_rate"] |= {"low": top["low"], "high": top["high"]}
        result["top_decile_lift"] |= {"low": top["lift_low"], "high": top["lift_high"]}
    result["tied_in_top_decile"] = tied_in_top(scores)
    if probability is not None:
        result |= _of_probabilities(calibrated, scores, labels, constant, seed)
    return result


def _constant_losses(base: NDArray[np.float64], constant: float | None) -> list[NDArray[np.float64]]:
    """Brier score and log loss of a constant score on leads that convert at these rates, each of the shape of ``base``.

    :param constant: the score; None: the rate itself.
    """
    rate = base if constant is None else np.full_like(base, constant)
    brier_of = base * (1 - rate) ** 2 + (1 - base) * rate**2
    return [brier_of, -(base * np.log(rate) + (1 - base) * np.log1p(-rate))]


def _of_probabilities(
    probability: NDArray[np.float64],
    margin: NDArray[np.float64],
    target: NDArray[np.float64],
    constant: float | None,
    seed: int,
) -> dict[str, Any]:
    base = np.array([target.mean()])
    floor = [float(loss[0]) for loss in _constant_losses(base, constant)]
    slope, intercept = slope_intercept(probability, target)
    return {
        "constant": {"rate": float(base[0]) if constant is None else constant, "brier": floor[0], "log_loss": floor[1]},
        "slope": slope,
        "intercept": intercept,
        "ece": ece(probability, target),
        "ece_noise_floor": ece_noise_floor(probability, seed=seed),
        "mean_score": float(probability.mean()),
        "distinct_scores": len(np.unique(probability)),
        # the same lift three ways: calibrated scores may tie, and only the margin says who comes first
        "lift_by_margin": lift(margin, target),
        "lift_by_calibrated_score": lift(probability, target),
        "top_decile_rate_by_calibrated_score": top_rate(probability, target),
    }


def segments(
    members: Mapping[str, NDArray[np.bool_]], margin: ArrayLike, target: ArrayLike, *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """AUC, lift and conversion of each segment, where at least 100 leads and 10 conversions allow it.

    :param members: name of the segment to a mask of shape (n,).
    :returns: one row a segment; those too small carry their counts and ``"too_few": True``.
    """
    scores, labels = np.asarray(margin, dtype=np.float64), np.asarray(target, dtype=np.float64)
    rows = []
    for name, mask in members.items():
        leads, positives = int(mask.sum()), int(labels[mask].sum())
        row: dict[str, Any] = {"segment": name, "n": leads, "positives": positives}
        if leads < SEGMENT_LEADS or positives < SEGMENT_POSITIVES:
            rows.append({**row, "too_few": True})
            continue
        chosen, marks = scores[mask], labels[mask]
        count = top_count(leads)

        def figures(
            weights: NDArray[np.float64],
            chosen: NDArray[np.float64] = chosen,
            marks: NDArray[np.float64] = marks,
            count: int = count,
        ) -> NDArray[np.float64]:
            groups = TieGroups.of(chosen, marks, weights)
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.stack(
                    [groups.auc_roc(), groups.found_in_top(count) / count / groups.base_rate(), groups.base_rate()],
                    axis=1,
                )

        values = figures(np.ones((1, leads)))[0]
        draws = replicates(leads, figures, resamples_for(leads, resamples), seed)
        for index, figure in enumerate(("auc_roc", "top_decile_lift", "rate")):
            low, high = percentile_interval(draws[:, index])
            row[figure] = {"value": float(values[index]), "low": low, "high": high}
        rows.append({**row, "too_few": False})
    return rows
