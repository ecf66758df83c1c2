"""The replay audit: do the past values of a feature change when the warehouse comes to know more?

Two questions. Does the computation read what was recorded later: it is done twice, with what was known then and with
what is known now. And do the records themselves say truly when they became known: a record that was put in afterwards
with an older ``recorded_at`` fools both computations, but not the partition of ``lead_features`` that was published on
the day.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput
from lead_scoring.features.contract import clip, contract_reasons, lead_id_reasons
from lead_scoring.features.materialization import query_parameters
from lead_scoring.features.sources import check_sources
from lead_scoring.settings import FeatureSettings
from lead_scoring.stage import StageOutput
from lead_scoring.warehouse import Warehouse
from lead_scoring.warehouse.sql import load_sql

EXAMPLES = 5


def audit(
    warehouse: Warehouse,
    *,
    as_of: dt.date,
    later: dt.date,
    feature_set: FeatureSet,
    settings: FeatureSettings,
    sql_folder: Path,
    honour_recorded_at: bool = True,
    published: Warehouse | None = None,
) -> StageOutput:
    """Compute the training rows of ``as_of`` once with what was known then and once with what was known ``later``.

    A feature whose value for the same lead and contact differs has read the future.

    :param honour_recorded_at: False asks what would happen if the time of recording were ignored, as in a source that
        is overwritten in place.
    :param published: the warehouse with the partition of ``lead_features`` that was published as of the day, if any.
    :return: figures ``moved`` (feature name to the number of leads whose value moved), ``examples``, ``labels_moved``,
        ``vanished``, and ``published``: what differs from the published partition, see :func:`_backdated`; counts
        ``leads``, ``moved_leads``, ``backdated_rows``.
    :raises BadInput: ``later`` is not after ``as_of``, or there is no training row to compare.
    """
    if later <= as_of:
        raise BadInput(f"later is {later}; it must be after as_of {as_of}, which is replayed")
    check_sources(warehouse)
    computed, now = (
        _rows(warehouse, day, feature_set, settings, sql_folder, honour_recorded_at) for day in (as_of, later)
    )
    then, now = (rows[~rows["scorable"]].set_index("lead_id") for rows in (computed, now))
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
    found = _backdated(published, computed, as_of, feature_set)
    return StageOutput(
        files={},
        counts={
            "leads": len(both),
            "moved_leads": int(any_moved.sum()),
            "backdated_rows": found.get("rows_that_differ", 0),
        },
        figures={
            "as_of": as_of.isoformat(),
            "later": later.isoformat(),
            "honour_recorded_at": honour_recorded_at,
            "feature_set": feature_set.name,
            "moved": moved,
            "examples": examples,
            "labels_moved": int((present & (both["target"] != both["target__later"])).sum()),
            "vanished": int((~present).sum()),
            "published": found,
        },
    )


def _backdated(
    published: Warehouse | None, computed: pd.DataFrame, as_of: dt.date, feature_set: FeatureSet
) -> dict[str, Any]:
    """The published rows of the day against the same rows computed now from what is said to have been known then.

    A difference means that a record with an older ``recorded_at`` was put in, changed or deleted after the day.

    :param computed: of :func:`_rows`.
    :returns: ``rows`` compared, ``rows_that_differ``, ``backdated`` (feature name to rows), ``labels``, ``examples``
        (up to ``EXAMPLES`` of each feature), ``gone`` and ``new`` (rows published only, computed only); or a ``note``.
    """
    if published is None or "lead_features" not in published.tables():
        return {"note": "lead_features has no published partition to compare with"}
    there = set(published.columns("lead_features"))
    if missing := [name for name in feature_set.columns if name not in there]:
        return {"note": f"lead_features was published without {missing[0]}: it is of another feature set"}
    names = ["lead_id", "scorable", "target", *feature_set.columns]
    stored = published.query(f"SELECT {', '.join(names)} FROM lead_features WHERE as_of = @as_of", {"as_of": as_of})
    if not stored.num_rows:
        return {"note": f"nothing was published in lead_features as of {as_of}"}
    keys = ["lead_id", "scorable"]
    before = stored.to_pandas().astype({"scorable": bool}).set_index(keys)
    if before.index.get_level_values("scorable").all():
        computed = computed[computed["scorable"]]  # a daily run publishes no training rows
    after = computed.set_index(keys)
    both = before.join(after.add_suffix("__now"), how="inner")
    backdated: dict[str, int] = {}
    examples: dict[str, list[dict[str, Any]]] = {}
    any_differs = np.zeros(len(both), dtype=bool)
    for feature in feature_set.features:
        was, now = both[feature.column].astype(float), both[f"{feature.column}__now"].astype(float)
        differs = ((was != now) & ~(was.isna() & now.isna())).to_numpy(bool)
        if differs.any():
            backdated[feature.name] = int(differs.sum())
            examples[feature.name] = [
                {"lead_id": lead, "published": _plain(was.iloc[place]), "now": _plain(now.iloc[place])}
                for place in np.flatnonzero(differs)[:EXAMPLES].tolist()
                for lead in [str(both.index[place][0])]
            ]
            any_differs |= differs
    was, now = both["target"].astype(float), both["target__now"].astype(float)
    labels = ((was != now) & ~(was.isna() & now.isna())).to_numpy(bool)
    return {
        "rows": len(both),
        "rows_that_differ": int((any_differs | labels).sum()),
        "backdated": backdated,
        "labels": int(labels.sum()),
        "examples": examples,
        "gone": len(before) - len(both),
        "new": len(after) - len(both),
    }


def _rows(
    warehouse: Warehouse,
    day: dt.date,
    feature_set: FeatureSet,
    settings: FeatureSettings,
    sql_folder: Path,
    honour_recorded_at: bool,
) -> pd.DataFrame:
    """The sound rows of a day, to learn from and to score, clipped as they are when they are published."""
    parameters = query_parameters(
        warehouse, sql_folder, as_of=day, settings=settings, honour_recorded_at=honour_recorded_at
    )
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        parts = warehouse.export(load_sql(sql_folder, "lead_features"), parameters, Path(folder), 1_048_576)
        columns = ["lead_id", "target", "scorable", "problems", *feature_set.columns]
        frame = pd.concat([pd.read_parquet(part, columns=columns) for part in parts], ignore_index=True)
    frame = frame[frame["problems"] == ""].drop(columns="problems").reset_index(drop=True)
    values = frame[feature_set.columns].astype("float64")
    clip(values, feature_set)
    frame[feature_set.columns] = values
    refused = contract_reasons(values, feature_set).keys() | lead_id_reasons(frame["lead_id"].tolist()).keys()
    return frame.drop(index=sorted(refused))


def _plain(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
