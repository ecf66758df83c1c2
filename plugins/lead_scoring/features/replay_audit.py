"""The replay audit: do the past values of a feature change when the warehouse comes to know more?"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput
from lead_scoring.features.materialization import query_parameters
from lead_scoring.features.sources import check_sources
from lead_scoring.settings import FeatureSettings
from lead_scoring.stage import StageOutput
from lead_scoring.warehouse import Warehouse
from lead_scoring.warehouse.sql import load_sql


def audit(
    warehouse: Warehouse,
    *,
    as_of: dt.date,
    later: dt.date,
    feature_set: FeatureSet,
    settings: FeatureSettings,
    sql_folder: Path,
    honour_recorded_at: bool = True,
) -> StageOutput:
    """Compute the training rows of ``as_of`` once with what was known then and once with what was known ``later``.

    A feature whose value for the same lead and contact differs has read the future.

    :param honour_recorded_at: False asks what would happen if the time of recording were ignored, as in a source that
        is overwritten in place.
    :return: figures ``moved`` (feature name to the number of leads whose value moved), ``examples``, ``labels_moved``,
        ``vanished``; counts ``leads``, ``moved_leads``.
    :raises BadInput: ``later`` is not after ``as_of``, or there is no training row to compare.
    """
    if later <= as_of:
        raise BadInput(f"later is {later}; it must be after as_of {as_of}, which is replayed")
    check_sources(warehouse)
    then, now = (
        _training_rows(warehouse, day, feature_set, settings, sql_folder, honour_recorded_at) for day in (as_of, later)
    )
    if then.empty:
        raise BadInput(f"no lead has a settled label by {as_of}; choose a later as_of")
    both = then.join(now.add_suffix("__later"), how="left")
    present = both["scorable__later"].notna()
    moved: dict[str, int] = {}
    examples: dict[str, dict[str, Any]] = {}
    any_moved = np.zeros(len(both), dtype=bool)
    for feature in feature_set.features:
        before, after = both[feature.column], both[f"{feature.column}__later"]
        different = (present & (before != after) & ~(before.isna() & after.isna())).to_numpy(bool)
        if different.any():
            moved[feature.name] = int(different.sum())
            first = both[different].iloc[0]
            examples[feature.name] = {
                "lead_id": str(both[different].index[0]),
                "then": _plain(first[feature.column]),
                "later": _plain(first[f"{feature.column}__later"]),
            }
            any_moved |= different
    return StageOutput(
        files={},
        counts={"leads": len(both), "moved_leads": int(any_moved.sum())},
        figures={
            "as_of": as_of.isoformat(),
            "later": later.isoformat(),
            "honour_recorded_at": honour_recorded_at,
            "feature_set": feature_set.name,
            "moved": moved,
            "examples": examples,
            "labels_moved": int((present & (both["target"] != both["target__later"])).sum()),
            "vanished": int((~present).sum()),
        },
    )


def _training_rows(
    warehouse: Warehouse,
    day: dt.date,
    feature_set: FeatureSet,
    settings: FeatureSettings,
    sql_folder: Path,
    honour_recorded_at: bool,
) -> pd.DataFrame:
    """The sound training rows of a day, by lead id."""
    parameters = query_parameters(warehouse, as_of=day, settings=settings, honour_recorded_at=honour_recorded_at)
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        parts = warehouse.export(load_sql(sql_folder, "lead_features"), parameters, Path(folder), 1_048_576)
        columns = ["lead_id", "target", "scorable", "problems", *feature_set.columns]
        frame = pd.concat([pd.read_parquet(part, columns=columns) for part in parts], ignore_index=True)
    sound = frame[~frame["scorable"] & (frame["problems"] == "")]
    return sound.drop(columns="problems").set_index("lead_id")


def _plain(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
