"""Repeated stratified cross-fitting: every lead is scored by calibrators that were fitted without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation.metrics import lead_losses
from lead_scoring.model.calibrators import FITTERS

Floats = NDArray[np.float64]

CONSTANT = "constant"
LEADS_TIMES_REPEATS = 2_000_000  # past this, fewer repeats: with so many leads the folds no longer matter


@dataclass(frozen=True)
class CrossFit:
    """Out-of-fold results of every method, averaged over the repeats, each of shape (n,).

    :param losses: log loss of each lead. :param squared: squared error of each lead.
    :param first: probabilities of the first repeat: one out-of-fold score a lead, as a scorer would have given it.
    """

    folds: int
    repeats: int
    losses: dict[str, Floats]
    squared: dict[str, Floats]
    first: dict[str, Floats]


def fold_numbers(target: NDArray[np.int8], folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each lead: both classes spread evenly."""
    number = np.empty(len(target), dtype=np.int64)
    for label in (0, 1):
        members = generator.permutation(np.flatnonzero(target == label))
        number[members] = np.arange(len(members)) % folds
    return number


def cross_fit(
    margin: Floats,
    target: NDArray[np.int8],
    methods: list[str],
    *,
    folds: int,
    repeats: int,
    seed: int,
    extra: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CrossFit:
    """Fit every method on all folds but one, score that one; ``repeats`` times with other folds.

    :param margin: log-odds of leads that the booster never saw.
    :param target: 0 or 1; every fold needs both classes.
    :param methods: names in ``FITTERS``; the constant is always there as the floor.
    :param extra: further methods to report: name to a function that fits on (margin, target) and gives an ``apply``.
    :param progress: called with repeats done and repeats to do.
    """
    leads = len(target)
    repeats = max(1, min(repeats, LEADS_TIMES_REPEATS // leads))
    fitters = {**{name: FITTERS[name] for name in methods}, **(extra or {})}
    names = [CONSTANT, *fitters]
    losses = {name: np.zeros(leads) for name in names}
    squared = {name: np.zeros(leads) for name in names}
    first: dict[str, Floats] = {}
    generator = np.random.default_rng(seed)
    for repeat in range(repeats):
        number = fold_numbers(target, folds, generator)
        scores = {name: np.empty(leads) for name in names}
        for fold in range(folds):
            held = number == fold
            seen_margin, seen_target = margin[~held], target[~held]
            scores[CONSTANT][held] = seen_target.mean()
            for name, fit in fitters.items():
                scores[name][held] = fit(seen_margin, seen_target).apply(margin[held])
        for name in names:
            losses[name] += lead_losses(scores[name], target) / repeats
            squared[name] += (scores[name] - target) ** 2 / repeats
        if repeat == 0:
            first = scores
        if progress is not None:
            progress(repeat + 1, repeats)
    return CrossFit(folds, repeats, losses, squared, first)
