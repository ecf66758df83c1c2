"""What the booster looks at: permutation importance and mean contribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.evaluation import auc_roc
from lead_scoring.training.booster import margins, matrix

REPEATS = 5
MOST_LEADS = 20_000
TOP = 5


def explain(
    booster: xgb.Booster, features: NDArray[np.float64], target: NDArray[np.int8], names: list[str], seed: int
) -> dict[str, Any]:
    """Two views of the features, largest first, over the given leads (at most 20,000, seeded).

    ``permutation``: how much AUC is lost when the feature is shuffled (Breiman 2001), mean and spread of 5 shuffles.
    Features that say the same thing share their importance, so a low value is no proof of uselessness.
    ``contributions``: mean absolute contribution to the margin, in log-odds (exact TreeSHAP, ``pred_contribs``).
    """
    generator = np.random.default_rng(seed)
    if len(target) > MOST_LEADS:
        chosen = np.sort(generator.choice(len(target), MOST_LEADS, replace=False))
        features, target = features[chosen], target[chosen]
    whole = auc_roc(margins(booster, matrix(features, names)), target)
    permutation = []
    for column, name in enumerate(names):
        lost = []
        for _ in range(REPEATS):
            shuffled = features.copy()
            shuffled[:, column] = generator.permutation(shuffled[:, column])
            lost.append(whole - auc_roc(margins(booster, matrix(shuffled, names)), target))
        permutation.append({"feature": name, "auc_lost": float(np.mean(lost)), "spread": float(np.std(lost))})
    shares = (
        np.abs(booster.predict(matrix(features, names), pred_contribs=True)[:, :-1]).astype(np.float64).mean(axis=0)
    )
    contributions = [
        {"feature": name, "mean_absolute_log_odds": float(value)} for name, value in zip(names, shares, strict=True)
    ]
    permutation.sort(key=lambda row: -float(str(row["auc_lost"])))
    contributions.sort(key=lambda row: -float(str(row["mean_absolute_log_odds"])))
    return {
        "leads": len(target),
        "auc_roc": whole,
        "permutation": permutation,
        "contributions": contributions,
        "top_features": [row["feature"] for row in contributions[:TOP]],
    }
