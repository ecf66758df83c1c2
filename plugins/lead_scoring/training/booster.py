"""XGBoost: fit with given parameters, and read margins in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

# The document's tuned parameters. Fitted again they give a near, not an equal, model: the random numbers differ by
# platform. So model bytes are hashed, never parameters.
DOCUMENT_PARAMETERS: Mapping[str, Any] = {
    "max_depth": 8,
    "learning_rate": 0.0665318,
    "n_estimators": 59,
    "subsample": 0.6210246,
    "colsample_bytree": 0.7311403,
    "gamma": 4.6204434,
    "reg_alpha": 1.5883551,
    "reg_lambda": 3.3424921,
    "min_child_weight": 7,
    "scale_pos_weight": 33.76,
}


def matrix(features: NDArray[np.float64], names: list[str], target: NDArray[np.int8] | None = None) -> xgb.DMatrix:
    return xgb.DMatrix(features, label=target, feature_names=names, missing=np.nan)


def booster_parameters(parameters: Mapping[str, Any], seed: int, threads: int) -> dict[str, Any]:
    """:param parameters: scikit-learn names, as in the document; ``n_estimators`` is left out."""
    fixed = {"objective": "binary:logistic", "tree_method": "hist", "seed": seed, "nthread": threads, "verbosity": 0}
    return {**{name: value for name, value in parameters.items() if name != "n_estimators"}, **fixed}


def fit_booster(data: xgb.DMatrix, parameters: Mapping[str, Any], *, seed: int, threads: int) -> xgb.Booster:
    """Equal data, parameters, seed and threads give equal bytes (``save_raw("ubj")``)."""
    rounds = int(parameters["n_estimators"])
    return xgb.train(booster_parameters(parameters, seed, threads), data, num_boost_round=rounds)


def margins(booster: xgb.Booster, data: xgb.DMatrix) -> NDArray[np.float64]:
    """Log-odds, shape (n,). XGBoost computes in float32."""
    return np.asarray(booster.predict(data, output_margin=True), dtype=np.float64)
