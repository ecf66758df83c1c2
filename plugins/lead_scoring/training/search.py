"""A small seeded search: the document's parameters and a few others, judged by log loss on leads that were held out.

Judged after a Platt fit: a calibrator follows the booster anyway, and without it every ``scale_pos_weight`` but 1 would
lose by its offset alone (the document's 33.76 moves the mean score from .042 to .226) and not by what it learned. The
Platt fit of a fold knows the held-out leads of the other folds only, never those it is judged on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.evaluation import log_loss
from lead_scoring.model.calibrators import fit_platt
from lead_scoring.training.booster import DOCUMENT_PARAMETERS, booster_parameters, margins

MAXIMUM_ROUNDS = 200
PATIENCE = 20  # rounds without a better mean over the folds

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def candidates(trials: int, seed: int, negatives_per_positive: float) -> list[dict[str, Any]]:
    """The document's parameters, then ``trials`` drawn ones, each named.

    ``scale_pos_weight`` goes round 1, the square root of the class ratio and the ratio itself.
    """
    generator = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{"name": "document", "parameters": dict(DOCUMENT_PARAMETERS), "rounds": "fixed"}]
    weights = [1.0, math.sqrt(negatives_per_positive), negatives_per_positive]
    for trial in range(trials):
        parameters = {
            "max_depth": int(generator.choice([2, 3, 4, 6])),
            "learning_rate": round(float(np.exp(generator.uniform(np.log(0.03), np.log(0.15)))), 6),
            "subsample": round(float(generator.uniform(0.6, 1.0)), 6),
            "colsample_bytree": round(float(generator.uniform(0.5, 1.0)), 6),
            "gamma": round(float(generator.uniform(0.0, 3.0)), 6),
            "reg_alpha": round(float(generator.uniform(0.0, 3.0)), 6),
            "reg_lambda": round(float(generator.uniform(1.0, 10.0)), 6),
            "min_child_weight": int(generator.choice([1, 2, 4, 8])),
            "scale_pos_weight": round(weights[trial % len(weights)], 6),
        }
        found.append({"name": f"trial {trial + 1}", "parameters": parameters, "rounds": "early stopping"})
    return found


def search(
    data: xgb.DMatrix,
    folds: list[Fold],
    *,
    trials: int,
    seed: int,
    threads: int,
    negatives_per_positive: float,
) -> list[dict[str, Any]]:
    """Every candidate with its mean log loss over the folds (``cross_fit``) and its rounds, best first.

    :param data: the train part, with labels.
    :param folds: (learn, held out) positions.
    """
    results = []
    for candidate in candidates(trials, seed, negatives_per_positive):
        fixed = candidate["rounds"] == "fixed"
        rounds = int(candidate["parameters"]["n_estimators"]) if fixed else MAXIMUM_ROUNDS
        parameters = booster_parameters(candidate["parameters"], seed, threads)
        losses = _losses_by_round(data, folds, parameters, rounds, None if fixed else PATIENCE)
        last = len(losses) - 1 if fixed else int(np.argmin(losses.mean(axis=1)))
        results.append({
            **candidate,
            "parameters": {**candidate["parameters"], "n_estimators": last + 1},
            "log_loss": float(losses[last].mean()),
            "spread_over_folds": float(losses[last].std()),
        })
    return sorted(results, key=lambda result: float(result["log_loss"]))


def constant_loss(target: NDArray[np.int8], folds: list[Fold]) -> float:
    """Mean log loss of a constant over the folds: the rate of the leads that the Platt fit of the fold knows."""
    targets = [target[out].astype(np.float64) for _, out in folds]
    losses = [log_loss(np.full(len(held), _others(targets, fold).mean()), held) for fold, held in enumerate(targets)]
    return float(np.mean(losses))


def _others(parts: list[NDArray[np.float64]], fold: int) -> NDArray[np.float64]:
    """What all folds but one have, in one array."""
    return np.concatenate([part for number, part in enumerate(parts) if number != fold])


def _losses_by_round(
    data: xgb.DMatrix, folds: list[Fold], parameters: dict[str, Any], rounds: int, patience: int | None
) -> NDArray[np.float64]:
    """Log loss of each fold's held-out leads after each round, shape (rounds, folds).

    All folds grow together and stop together, on their mean: one fold has too few conversions to say when to stop.
    (``xgb.cv`` does the same, and also judges every round on the leads it was fitted on: twice the time.)
    """
    learned = [data.slice(learn) for learn, _ in folds]
    held = [data.slice(out) for _, out in folds]
    boosters = [xgb.Booster(parameters, [one, other]) for one, other in zip(learned, held, strict=True)]
    targets = [np.asarray(other.get_label(), dtype=np.float64) for other in held]
    found: list[list[float]] = []
    best, best_round = np.inf, 0
    for round_ in range(rounds):
        seen: list[NDArray[np.float64]] = []
        for booster, one, other in zip(boosters, learned, held, strict=True):
            booster.update(one, round_)
            seen.append(margins(booster, other))
        found.append([
            log_loss(fit_platt(_others(seen, fold), _others(targets, fold)).apply(seen[fold]), targets[fold])
            for fold in range(len(folds))
        ])
        mean = float(np.mean(found[-1]))
        if mean < best:
            best, best_round = mean, round_
        elif patience is not None and round_ - best_round >= patience:
            break
    return np.array(found)
