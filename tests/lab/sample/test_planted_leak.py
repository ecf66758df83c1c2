"""The planted late departures: a model that reads them looks better in time and is no better out of time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.model_selection import StratifiedKFold

from lab.sample import write_sample
from lead_scoring.catalog import load_catalog
from lead_scoring.evaluation import auc_roc
from lead_scoring.features import load_source
from lead_scoring.features.materialization import query_parameters
from lead_scoring.settings import load_settings
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from lead_scoring.warehouse.sql import load_sql

LATER = dt.date(2025, 8, 1)
CUT = dt.date(2024, 8, 31)
PARAMETERS = {
    "objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "subsample": 0.8, "min_child_weight": 5, "seed": 1,
    "nthread": 1,
}  # fmt: skip


def rows(warehouse: EmbeddedWarehouse, work: Path, *, honour: bool) -> pd.DataFrame:
    settings = load_settings(environment={})
    parameters = query_parameters(
        warehouse, settings.sql_folder, as_of=LATER, settings=settings.features, honour_recorded_at=honour
    )
    parts = warehouse.export(load_sql(settings.sql_folder, "lead_features"), parameters, work, 10**9)
    frame = pd.concat([pd.read_parquet(part) for part in parts])
    frame = frame[(frame["problems"] == "") & ~frame["scorable"]]
    return frame.set_index("lead_id").sort_index()


def figures(folder: Path, leads: int, seed: int) -> dict[str, float]:
    """AUC of an honest and of a leaking model, on the leads of their own time and on later leads as known in time."""
    write_sample(folder / "source", leads, seed, dirty=False)
    warehouse = EmbeddedWarehouse(folder / "warehouse")
    load_source(warehouse, folder / "source")
    columns = load_catalog(load_settings(environment={}).config_folder).feature_set("phase6").columns
    honest, leaking = (rows(warehouse, folder / str(honour), honour=honour) for honour in (True, False))
    early = honest.index[honest["pit_date"] <= CUT]
    late = honest.index[honest["pit_date"] > CUT]
    result: dict[str, float] = {"early": len(early), "late": len(late)}
    target, late_target = honest.loc[early, "target"].to_numpy(float), honest.loc[late, "target"].to_numpy(float)
    for name, table in (("honest", honest), ("leaking", leaking)):
        values = table.loc[early, columns].to_numpy(float)
        margin = np.zeros(len(early))
        for fit, check in StratifiedKFold(5, shuffle=True, random_state=1).split(values, target):
            margin[check] = train(values[fit], target[fit])(values[check])
        result[f"{name}_in_time_auc"] = auc_roc(margin, target)
        # what production has on the day: values as known at the contact
        known_in_time = honest.loc[late, columns].to_numpy(float)
        result[f"{name}_out_of_time_auc"] = auc_roc(train(values, target)(known_in_time), late_target)
    return result


def train(values: np.ndarray, target: np.ndarray) -> Any:
    booster = xgboost.train(PARAMETERS, xgboost.DMatrix(values, target), 60)
    return lambda other: booster.predict(xgboost.DMatrix(other), output_margin=True)


@pytest.mark.slow
def test_the_leak_helps_in_time_and_not_out_of_time(tmp_path: Path) -> None:
    found = figures(tmp_path, 6000, 7)
    assert found["leaking_in_time_auc"] > found["honest_in_time_auc"] + 0.04
    assert found["leaking_out_of_time_auc"] < found["honest_out_of_time_auc"] + 0.02
