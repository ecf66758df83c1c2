"""``lead-scoring calibrate``: a file of scores and outcomes, both tables, and the files of a calibrator."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lead_scoring.calibration.compare import calibrate
from lead_scoring.calibration.curves import draw_curves
from lead_scoring.calibration.inputs import check_scores, check_target, read_scores
from lead_scoring.calibration.lift_chart import draw_lift
from lead_scoring.calibration.lookup import lookup_table, measure, write_lookup
from lead_scoring.calibration.refresh import refresh_intercept
from lead_scoring.errors import BadInput, NotFound
from lead_scoring.model.calibrators import calibrator_from_dict, raw_to_margin
from lead_scoring.settings import CalibrationSettings
from lead_scoring.storage.written import replacing
from lead_scoring.tables import OpenTable, open_table

FILES = (
    "calibration_lookup_table.csv",
    "calibration_curves.png",
    "lift_chart.png",
    "calibrator.json",
    "calibration_metadata.json",
)


def calibrate_scores_file(
    scores: Path | OpenTable,
    settings: CalibrationSettings,
    rule: str | None = None,
    out: Path | None = None,
    *,
    intercept_of: Path | None = None,
    maps: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Compare the calibrators on a file of scores that the model gave to leads it was not fitted on.

    :param scores: a table with ``raw_score`` (uncalibrated, 0 to 1) and ``target`` (0 or 1).
    :param rule: ``one_standard_error`` or ``document``; None: the setting.
    :param out: folder for ``calibrator.json``, ``calibration_metadata.json``, the lookup table and the pictures.
    :param intercept_of: a ``calibrator.json`` of which only the intercept is refreshed on these leads.
    :param maps: name in the file to the column that it is; an empty one: not read.
    :returns: ``{"in_sample", "cross_fit", "selected", "rule", "reason", "calibrator", "lookup", "files"}``, or with
        ``intercept_of`` ``{"refresh", "selected", "calibrator", ...}``.
    :raises BadInput: what the file holds cannot be calibrated.
    """
    opened = open_table(scores) if isinstance(scores, Path) else scores
    given, labels = read_scores(opened, maps)
    target = check_target(labels, settings.minimum_positives, opened.label)
    raw = check_scores(given, opened.label)
    margin = raw_to_margin(raw)
    if intercept_of is not None:
        if not intercept_of.is_file():
            raise NotFound(f"calibrator file {intercept_of} does not exist; give the calibrator.json to refresh")
        try:
            standing = calibrator_from_dict(json.loads(intercept_of.read_text()))
        except ValueError as error:
            raise BadInput(f"calibrator file {intercept_of} is not JSON ({error}); give a calibrator.json") from None
        calibrator, record = refresh_intercept(standing, margin, target)
        alternatives = {calibrator.method: calibrator}
        result: dict[str, Any] = {"rule": "intercept_only", "refresh": record}
    else:
        found = calibrate(margin=margin, target=target, settings=settings, raw_score=raw, rule=rule, progress=progress)
        calibrator, alternatives = found.calibrator, found.alternatives
        result = {
            "in_sample": found.in_sample,
            "cross_fit": found.cross_fit,
            "rule": found.rule,
            "reason": found.reason,
        }
    table = lookup_table(calibrator, raw)
    result |= {
        "selected": calibrator.method,
        "calibrator": calibrator.to_dict(),
        "lookup": measure(calibrator, table, raw),
        "maps": dict(maps or {}),
        "files": [],
    }
    if out is not None:
        with replacing([out / name for name in FILES]) as (lookup, curves, lift, chosen, metadata):
            write_lookup(lookup, table)
            draw_curves(
                curves,
                margin=margin,
                target=target,
                alternatives=alternatives,
                chosen=calibrator.method,
                how="in_sample",
            )
            draw_lift(lift, margin=margin, target=target, how="as_given")
            chosen.write_text(json.dumps(calibrator.to_dict(), indent=1, sort_keys=True) + "\n")
            metadata.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
        result["files"] = sorted(str(out / name) for name in FILES)
    return result
