"""What a standing package knows about its training: enough to package its booster again with a new intercept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

KEPT = ("split", "recipe", "family", "parameters", "search", "baselines", "in_sample", "segments", "importance")
# What a manifest lacks that was written before the family of a model was chosen.
BEFORE_FAMILIES = {
    "recipe": None,  # so no other version is taken for a plain retrain of it
    "family": {"chosen": "booster", "reason": "the booster was the only family when this model was trained"},
}

RECENT = "recent"  # the part of the split that only moved the intercept


def recent_part(rows: pa.Table) -> dict[str, Any]:
    """Leads, conversions and, where all have one, contact dates of the leads that refresh an intercept.

    :param rows: rows with ``target`` and ``pit_date``.
    """
    dates = rows["pit_date"]
    span = {} if dates.null_count or not len(dates) else {
        "first": pc.min(dates).as_py().isoformat(), "last": pc.max(dates).as_py().isoformat(),
    }  # fmt: skip
    return {"leads": rows.num_rows, "positives": int(pc.sum(rows["target"]).as_py()), **span}


def training_report_of(
    manifest: Mapping[str, Any], scorer: Mapping[str, Any], recent: Mapping[str, Any]
) -> dict[str, Any]:
    """The training report as ``package`` and ``calibrate_stage`` read it.

    Its split has the recent leads as a part of their own. They follow no rule and their figures are in sample, so
    nothing is out of time and no rule is left that would give another version a common holdout.

    :param manifest: parsed ``manifest_<v>.json``. :param scorer: parsed ``scorer_<v>.json`` of the same version.
    :param recent: of :func:`recent_part`.
    """
    known = {**BEFORE_FAMILIES, **manifest}
    report = {name: known[name] for name in KEPT}
    split = report["split"]
    report["split"] = {
        **split, "out_of_time": False, "rule": None, "parts": {**split["parts"], RECENT: dict(recent)},
    }  # fmt: skip
    report["golden"] = [lead["features"] for lead in scorer["golden"]]
    report["libraries"] = manifest["libraries"]
    return report
