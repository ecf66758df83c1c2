"""What the booster has to beat: a logistic regression on the ranks of the features, and a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation import auc_roc, lift, paired_bootstrap
from lead_scoring.evaluation.metrics import lead_losses
from lead_scoring.model.calibrators import fit_platt
from lead_scoring.training.split import stratified_folds

FOLDS = 5


def fit_logistic_baseline(features: NDArray[np.float64], target: NDArray[np.int8], seed: int) -> Any:
    """Median and a flag for missing values, quantile-transformed, logistic regression. No tuning."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        QuantileTransformer(n_quantiles=min(200, len(target)), subsample=100_000, random_state=seed),
        LogisticRegression(max_iter=1000),
    ).fit(features, target)


def compare(
    calibration: dict[str, NDArray[np.float64]],
    calibration_target: NDArray[np.int8],
    judged: dict[str, NDArray[np.float64]],
    judged_target: NDArray[np.int8],
    *,
    constant: float,
    resamples: int,
    seed: int,
    how: str,
) -> dict[str, Any]:
    """Log loss of booster, logistic regression and constant on the judged leads.

    Each ranking gets the same two-parameter Platt fit, so what differs is the ranking. It is fitted on the calibration
    leads; with ``cross_fit`` those are the judged leads too, and each is scored by a fit on the other folds.

    :param calibration: model name to margins of the calibration leads; ``booster`` is one of them.
    :param judged: model name to margins of the leads that judge.
    :param constant: conversion rate of the leads before; not used with ``cross_fit``.
    :param how: ``holdout`` or ``cross_fit``.
    """
    if how == "cross_fit":
        folds = stratified_folds(judged_target, FOLDS, seed)
        scores = {name: _cross_fitted(margin, judged_target, folds) for name, margin in judged.items()}
        level = np.empty(len(judged_target))
        for learn, held in folds:
            level[held] = judged_target[learn].mean()
    else:
        scores = {
            name: fit_platt(margin, calibration_target).apply(judged[name]) for name, margin in calibration.items()
        }
        level = np.full(len(judged_target), constant)
    losses = {name: lead_losses(values, judged_target) for name, values in {**scores, "constant": level}.items()}
    rows = []
    for name, values in losses.items():
        row: dict[str, Any] = {"model": name, "how": how, "log_loss": float(values.mean())}
        if name != "constant":
            row |= {
                "auc_roc": auc_roc(judged[name], judged_target),
                "top_decile_lift": lift(judged[name], judged_target),
            }
        if name != "booster":
            row["worse_than_booster_by"] = paired_bootstrap(values - losses["booster"], resamples=resamples, seed=seed)
        rows.append(row)
    best = min(rows, key=lambda row: float(row["log_loss"]))
    return {"rows": rows, "best": best["model"], "sentence": _sentence(best, rows)}


def _cross_fitted(
    margin: NDArray[np.float64],
    target: NDArray[np.int8],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> NDArray[np.float64]:
    """Each lead's probability by a Platt fit without its fold."""
    found = np.empty(len(target))
    for learn, held in folds:
        found[held] = fit_platt(margin[learn], target[learn]).apply(margin[held])
    return found


def _sentence(best: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    name = best["model"]
    if name != "booster":
        if best["worse_than_booster_by"]["high"] < 0:
            return f"The {name} beats the booster, beyond noise: this booster is not worth its trees."
        return f"The {name} has a lower log loss than the booster; the difference is within noise."
    within = [row["model"] for row in rows if row is not best and row["worse_than_booster_by"]["low"] <= 0]
    if within:
        return f"The booster has the lowest log loss; its lead over the {' and the '.join(within)} is within noise."
    return "The booster has the lowest log loss, beyond noise."
