"""A small seeded search: the document's parameters and a few others, judged by log loss on leads that were held out.

Judged after a Platt fit: a calibrator follows the booster anyway, and without it every ``scale_pos_weight`` but 1 would
lose by its offset alone (the document's 33.76 moves the mean score from .042 to .226) and not by what it learned. The
Platt fit of a fold knows the held-out leads of the other folds only, never those it is judged on.

The boosters are small, because six of them are averaged and one lead passes through all their trees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.evaluation.metrics import lead_losses
from lead_scoring.model.calibrators import fit_platt
from lead_scoring.settings import TrainingSettings
from lead_scoring.training.booster import DOCUMENT_PARAMETERS, booster_parameters, margins

DOCUMENT = "document"
MAXIMUM_ROUNDS = 120
LOOK_EVERY = 5  # rounds between two looks at the held-out leads
PATIENCE = 4  # looks without a better mean over the folds

Floats = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Trial:
    """:param parameters: with ``n_estimators``, the rounds that were best. :param rounds: how they were found.

    :param out_of_fold: margin of each lead by a booster that did not see it, shape (n,).
    :param log_loss: mean over the folds, after a Platt fit on the other folds.
    """

    name: str
    parameters: dict[str, Any]
    rounds: str
    out_of_fold: Floats
    log_loss: float
    spread_over_folds: float

    def to_dict(self) -> dict[str, Any]:
        kept = ("name", "parameters", "rounds", "log_loss", "spread_over_folds")
        return {name: getattr(self, name) for name in kept}


def candidates(trials: int, seed: int, negatives_per_positive: float) -> list[dict[str, Any]]:
    """The document's parameters, then ``trials`` drawn ones, each named.

    ``scale_pos_weight`` goes round 1 and the square root of the class ratio; the ratio itself is the document's.
    """
    generator = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [{"name": DOCUMENT, "parameters": dict(DOCUMENT_PARAMETERS), "rounds": "fixed"}]
    weights = [1.0, math.sqrt(negatives_per_positive)]
    for trial in range(trials):
        parameters = {
            "max_depth": int(generator.choice([2, 3, 4])),
            "learning_rate": round(float(np.exp(generator.uniform(np.log(0.05), np.log(0.15)))), 6),
            "subsample": round(float(generator.uniform(0.6, 0.9)), 6),
            "colsample_bytree": round(float(generator.uniform(0.5, 0.9)), 6),
            "gamma": round(float(generator.uniform(0.0, 3.0)), 6),
            "reg_alpha": round(float(generator.uniform(0.0, 3.0)), 6),
            "reg_lambda": round(float(generator.uniform(1.0, 10.0)), 6),
            "min_child_weight": int(generator.choice([2, 4, 8])),
            "scale_pos_weight": round(weights[trial % len(weights)], 6),
        }
        found.append({"name": f"trial {trial + 1}", "parameters": parameters, "rounds": "early stopping"})
    return found


def search(data: xgb.DMatrix, target: NDArray[np.int8], folds: list[Fold], settings: TrainingSettings) -> list[Trial]:
    """Every candidate with its margins out of fold, best first.

    :param data: the leads that are learned from, with labels. :param target: the labels, shape (n,).
    :param folds: (learn, held out) positions; every lead is held out once.
    """
    positives = int(target.sum())
    results = []
    for candidate in candidates(settings.search_trials, settings.seed, (len(target) - positives) / positives):
        fixed = candidate["rounds"] == "fixed"
        rounds = int(candidate["parameters"]["n_estimators"]) if fixed else MAXIMUM_ROUNDS
        parameters = booster_parameters(candidate["parameters"], settings.seed, settings.threads)
        taken, found = _grow(data, target, folds, parameters, rounds, stops_early=not fixed)
        losses = platt_losses(found, target, folds)
        by_fold = [float(losses[held].mean()) for _, held in folds]
        results.append(
            Trial(
                name=candidate["name"],
                parameters={**candidate["parameters"], "n_estimators": taken},
                rounds=candidate["rounds"],
                out_of_fold=found,
                log_loss=float(np.mean(by_fold)),
                spread_over_folds=float(np.std(by_fold)),
            )
        )
    return sorted(results, key=lambda trial: trial.log_loss)


def constant_losses(target: NDArray[np.int8], folds: list[Fold]) -> Floats:
    """Log loss of each lead under a constant: the rate of the leads in the other folds. Shape (n,)."""
    level = np.empty(len(target))
    for learn, held in folds:
        level[held] = target[learn].mean()
    return lead_losses(level, target)


def platt_losses(margin: Floats, target: NDArray[np.int8], folds: list[Fold]) -> Floats:
    """Log loss of each lead after a Platt fit on the other folds' margins, shape (n,)."""
    scores = np.empty(len(target))
    for learn, held in folds:
        scores[held] = fit_platt(margin[learn], target[learn]).apply(margin[held])
    return lead_losses(scores, target)


def _grow(
    data: xgb.DMatrix,
    target: NDArray[np.int8],
    folds: list[Fold],
    parameters: dict[str, Any],
    rounds: int,
    *,
    stops_early: bool,
) -> tuple[int, Floats]:
    """Rounds taken, and the margins out of fold after so many.

    All folds grow together and stop together, on their mean: one fold has too few conversions to say when to stop.
    """
    learned = [data.slice(learn) for learn, _ in folds]
    held = [data.slice(out) for _, out in folds]
    boosters = [xgb.Booster(parameters, [one, other]) for one, other in zip(learned, held, strict=True)]
    best, best_round, best_margins = np.inf, 0, np.empty(len(target))
    for round_ in range(1, rounds + 1):
        for booster, one in zip(boosters, learned, strict=True):
            booster.update(one, round_ - 1)
        if not (stops_early and round_ % LOOK_EVERY == 0) and round_ != rounds:
            continue
        seen = np.empty(len(target))
        for (_, out), booster, other in zip(folds, boosters, held, strict=True):
            seen[out] = margins(booster, other)
        loss = float(platt_losses(seen, target, folds).mean())
        if loss < best:
            best, best_round, best_margins = loss, round_, seen
        elif round_ - best_round >= PATIENCE * LOOK_EVERY:
            break
    return best_round, best_margins
