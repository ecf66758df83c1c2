"""Which family is shipped: the simplest within one standard error of the best, and how each is fitted.

Three families are always fitted and reported: a logistic regression on quantile ranks, the best searched booster, and
the average in log-odds of all searched boosters and the logistic regression. XGBoost is in every release's report, also
when the logistic regression is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.model.calibrators import PlattCalibrator, fit_platt
from lead_scoring.model.one_booster import AVERAGE, BOOSTER, FAMILIES, LOGISTIC, Member, one_booster
from lead_scoring.settings import TrainingSettings
from lead_scoring.training.booster import fit_booster, margins, matrix
from lead_scoring.training.rank_logistic import fit_rank_logistic
from lead_scoring.training.rows import LeadRows
from lead_scoring.training.search import DOCUMENT, Fold, Trial, constant_losses, platt_losses, search

Floats = NDArray[np.float64]

LOGISTIC_WEIGHT = 0.5  # in the average; the boosters share the rest


@dataclass(frozen=True)
class Recipe:
    """What cross-fitting decided: enough to fit every family on all leads.

    :param trials: of the search, best first. :param scales: of each trial, slope and intercept of its margins: boosters
        that were trained with other class weights come to one scale before they are averaged.
    :param out_of_fold: family to margins, shape (n,), of models that did not see the lead.
    :param losses: family, and ``constant``, to log loss of each lead after a Platt fit on the other folds.
    """

    trials: tuple[Trial, ...]
    scales: tuple[PlattCalibrator, ...]
    out_of_fold: Mapping[str, Floats]
    losses: Mapping[str, Floats]
    chosen: str
    reason: str

    @property
    def best(self) -> Trial:
        return self.trials[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON values: what was chosen, why, and the cross-fitted log loss of each."""
        losses = {name: float(values.mean()) for name, values in self.losses.items()}
        return {"how": "cross_fit", "chosen": self.chosen, "reason": self.reason, "log_loss": losses}


def choose_recipe(rows: LeadRows, names: list[str], folds: list[Fold], settings: TrainingSettings) -> Recipe:
    """Search, cross-fit every family, and choose."""
    trials = search(matrix(rows.features, names, rows.target), rows.target, folds, settings)
    scales = tuple(fit_platt(trial.out_of_fold, rows.target) for trial in trials)
    logistic = np.empty(len(rows))
    for learn, held in folds:
        logistic[held] = fit_rank_logistic(rows.features[learn], rows.target[learn]).margins(rows.features[held])
    averaged = [
        scale.slope * trial.out_of_fold + scale.intercept for trial, scale in _averaged(trials, scales)
    ]  # fmt: skip
    found = {
        LOGISTIC: logistic,
        AVERAGE: LOGISTIC_WEIGHT * logistic + (1 - LOGISTIC_WEIGHT) * np.mean(averaged, axis=0),
        BOOSTER: trials[0].out_of_fold,
    }
    losses = {name: platt_losses(margin, rows.target, folds) for name, margin in found.items()}
    losses["constant"] = constant_losses(rows.target, folds)
    chosen, reason = choose_family(losses)
    return Recipe(tuple(trials), scales, found, losses, chosen, reason)


def choose_family(losses: Mapping[str, Floats]) -> tuple[str, str]:
    """The one-standard-error rule (Breiman et al. 1984) on the paired differences to the best.

    :param losses: family to log loss of each lead, shape (n,).
    :returns: the family and why, one sentence.
    """
    means = {name: float(losses[name].mean()) for name in FAMILIES}
    best = min(means, key=means.__getitem__)
    for name in FAMILIES:
        difference = losses[name] - losses[best]
        error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
        if float(difference.mean()) <= error:
            break
    if name == best:
        return name, f"the {name} has the lowest cross-fitted log loss ({means[name]:.6f})"
    return name, (
        f"the {name} comes first in the order of preference within one standard error of the best (the {best}): its "
        f"cross-fitted log loss is {means[name] - means[best]:.6f} higher, one standard error of that is {error:.6f}"
    )


def fit_families(rows: LeadRows, names: list[str], recipe: Recipe, settings: TrainingSettings) -> dict[str, bytes]:
    """Every family fitted on all these leads, each as the bytes of one booster."""
    data = matrix(rows.features, names, rows.target)
    fitted = [
        fit_booster(data, trial.parameters, seed=settings.seed, threads=settings.threads) for trial in recipe.trials
    ]
    logistic = fit_rank_logistic(rows.features, rows.target)
    by_name = {trial.name: booster for trial, booster in zip(recipe.trials, fitted, strict=True)}
    averaged = _averaged(recipe.trials, recipe.scales)
    share = (1 - LOGISTIC_WEIGHT) / len(averaged)
    members = [Member(by_name[trial.name], share * scale.slope) for trial, scale in averaged]
    intercept = LOGISTIC_WEIGHT * logistic.intercept + share * sum(scale.intercept for _, scale in averaged)
    return {
        LOGISTIC: one_booster([], logistic.steps, logistic.intercept, fitted[0]),
        AVERAGE: one_booster(members, [step.times(LOGISTIC_WEIGHT) for step in logistic.steps], intercept, fitted[0]),
        BOOSTER: bytes(fitted[0].save_raw("ubj")),
    }


def load(data: bytes) -> xgb.Booster:
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    booster.set_param({"nthread": 1})  # loading takes the parameters of the file
    return booster


def family_margins(families: Mapping[str, bytes], features: Floats, names: list[str]) -> dict[str, Floats]:
    """Family to margins of these leads, shape (n,)."""
    data = matrix(features, names)
    return {name: margins(load(content), data) for name, content in families.items()}


def _averaged(
    trials: tuple[Trial, ...] | list[Trial], scales: tuple[PlattCalibrator, ...]
) -> list[tuple[Trial, PlattCalibrator]]:
    """The drawn boosters; the document's, which is large and overfits, only where none was drawn."""
    pairs = list(zip(trials, scales, strict=True))
    return [pair for pair in pairs if pair[0].name != DOCUMENT] or pairs
