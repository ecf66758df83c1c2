"""XGBoost itself, for what the compiled trees are not for: many rows at once, and reasons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.errors import CheckFailed
from lead_scoring.scoring.loading import LoadedPackage


class Booster:
    """The booster of a checked package, with one thread.

    Calls from several threads at once are safe, which XGBoost promises of ``inplace_predict``.

    :raises CheckFailed: a golden lead does not get the same bits as from the compiled trees.
    """

    def __init__(self, package: LoadedPackage) -> None:
        self.names = package.spec.feature_names
        self._booster = xgb.Booster({"nthread": 1})
        self._booster.load_model(bytearray(package.booster))
        self._booster.set_param({"nthread": 1})  # loading takes the parameters of the file
        rows = [[row["features"][name] for name in self.names] for row in package.spec.golden]
        golden = np.array(rows, dtype=np.float64)
        if self.margins(golden.astype(np.float32)).tolist() != [package.trees.margin(row) for row in golden.tolist()]:
            raise CheckFailed(
                f"xgboost {xgb.__version__} gives other margins than the compiled trees of {package.version}; "
                "install the xgboost version that the manifest names"
            )

    def margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """:param matrix: shape (n, features), NaN for missing. :returns: shape (n,), log-odds."""
        if not len(matrix):
            return np.empty(0)
        return np.asarray(self._booster.inplace_predict(matrix, predict_type="margin"), dtype=np.float64)

    def reasons(self, values: list[float], count: int) -> list[dict[str, Any]]:
        """The largest contributions to one lead's margin, in log-odds (TreeSHAP; with the bias they add up to it)."""
        data = xgb.DMatrix(np.array([values], dtype=np.float32), feature_names=list(self.names), nthread=1)
        shares = self._booster.predict(data, pred_contribs=True)[0, :-1].astype(float)
        order = sorted(range(len(self.names)), key=lambda index: (-abs(shares[index]), index))
        return [
            {
                "feature": self.names[index],
                "value": None if values[index] != values[index] else values[index],
                "contribution": float(shares[index]),
            }
            for index in order[:count]
        ]
