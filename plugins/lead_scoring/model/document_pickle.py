"""``calibrated_model.pkl`` in the document's shape: base model, calibrator, method, feature names.

For people who have code that reads it. The scorer never does: it reads the native form.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from lead_scoring.model.calibrators import CALIBRATORS, Calibrator

# Everything that loading the file may import, as "module.name". An unpickler that allows only these is safe to use.
PICKLE_GLOBALS = frozenset({
    "builtins.bytearray",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    *(f"{kind.__module__}.{kind.__qualname__}" for kind in CALIBRATORS.values()),
})


def write_document_pickle(path: Path, booster_ubj: bytes, calibrator: Calibrator, feature_names: list[str]) -> None:
    """Write ``{"base_model", "calibrator", "calibration_method", "feature_names"}``. Equal inputs give equal bytes.

    ``base_model.predict_proba(X)[:, 1]`` is the uncalibrated score, ``calibrator.predict(...)`` of it the lead score.
    """
    from xgboost import XGBClassifier

    base_model = XGBClassifier()
    base_model.load_model(bytearray(booster_ubj))
    content = {
        "base_model": base_model,
        "calibrator": calibrator,
        "calibration_method": calibrator.method,
        "feature_names": list(feature_names),
    }
    path.write_bytes(pickle.dumps(content, protocol=4))
