"""Do the intervals of the model card's deciles hold what they promise, over holdouts whose truth is known.

A holdout of the document's size: 1,739 leads, some 71 conversions, an AUC of about .70. The truth of a decile
is the mean chance of its leads, and its lift that over the mean chance of all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lead_scoring.errors import BadInput
from lead_scoring.evaluation import deciles
from lead_scoring.model.calibrators import sigmoid

LEADS = 1_739
BASE, SPREAD, ERROR = -3.45, 0.8, 0.3
LEAST = 0.93


def interval_selftest(*, seed: int = 42, sets: int = 400) -> dict[str, Any]:
    """Share of ``sets`` holdouts in which the 95 % interval of each decile holds its true rate, and its true lift.

    :returns: ``{"passed", "sets", "leads", "mean_positives", "rate": ten shares, "lift": ten shares,
        "without_conversion"}``: deciles without a conversion, which need an upper bound as well.
    """
    if sets < 1:
        raise BadInput(f"sets is {sets}; a self-test needs at least one")
    held = np.zeros((2, 10))
    positives, empty = [], 0
    for number in range(sets):
        generator = np.random.default_rng([seed, number])
        strength = SPREAD * generator.normal(size=LEADS)
        margin = strength + ERROR * generator.normal(size=LEADS)
        chance = sigmoid(strength + BASE)
        target = (generator.random(LEADS) < chance).astype(np.int8)
        positives.append(int(target.sum()))
        ranked = chance[np.argsort(-margin, kind="stable")]
        for place, row in enumerate(deciles(margin, target)):
            first = place * LEADS // 10
            truth = float(ranked[first : first + row["leads"]].mean())
            held[0, place] += row["low"] <= truth <= row["high"]
            held[1, place] += row["lift_low"] <= truth / float(chance.mean()) <= row["lift_high"]
            empty += row["positives"] == 0
    shares = (held / sets).round(4)
    return {
        "passed": bool((shares >= LEAST).all()),
        "sets": sets,
        "seed": seed,
        "leads": LEADS,
        "mean_positives": float(np.mean(positives)),
        "rate": shares[0].tolist(),
        "lift": shares[1].tolist(),
        "without_conversion": empty,
    }
