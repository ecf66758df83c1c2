"""The calibration stage: margins of leads the booster never saw in, the document's files and a frozen policy out."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lead_scoring.calibration.bucket_check import bucket_findings, bucket_table
from lead_scoring.calibration.compare import Calibration, calibrate
from lead_scoring.calibration.curves import draw_curves
from lead_scoring.calibration.inputs import check_scores, check_target
from lead_scoring.calibration.lift_chart import draw_lift
from lead_scoring.calibration.lookup import TOLERANCE, lookup_table, measure, write_lookup
from lead_scoring.calibration.refresh import refresh_intercept
from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import CheckFailed
from lead_scoring.evaluation import evaluate
from lead_scoring.model.buckets import freeze_policy
from lead_scoring.model.calibrators import Calibrator, sigmoid
from lead_scoring.model.document_pickle import write_document_pickle
from lead_scoring.settings import BucketSettings, CalibrationSettings
from lead_scoring.stage import StageOutput

Floats = NDArray[np.float64]
SOURCE = "scores.parquet"


@dataclass(frozen=True)
class _Leads:
    """:param margin: log-odds. :param target: 0 or 1."""

    margin: Floats
    target: NDArray[np.int8]


@dataclass(frozen=True)
class _Decision:
    """:param found: the comparison it comes from; None where nothing was compared. :param facts: for the metadata."""

    calibrator: Calibrator
    found: Calibration | None
    facts: Mapping[str, Any]


def calibrate_stage(
    scores: Path,
    model: Path,
    training_report: Path,
    *,
    feature_set: FeatureSet,
    as_of: dt.date,
    calibration: CalibrationSettings,
    buckets: BucketSettings,
    work: Path,
    standing: Calibrator | None = None,
) -> StageOutput:
    """Choose and fit a calibrator on the calibration part, judge it on the holdout, freeze the bucket policy.

    :param scores: ``scores.parquet`` of the training stage, or margins of recent leads by a standing model, all in
        split ``calibration``.
    :param model: ``model.ubj``.
    :param standing: the calibrator of a standing version: nothing is chosen, only its intercept moves to the base rate
        of the calibration part.
    :returns: files ``calibrator.json``, ``bucket_policy.json``, ``calibration_metadata.json``,
        ``calibration_lookup_table.csv``, ``calibration_curves.png``, ``lift_chart.png``, ``calibrated_model.pkl`` and
        ``reference.parquet`` (lead_id, split, margin, lead_score); figures with both tables, the choice and findings.
    :raises BadInput: too few conversions, or scores that cannot be calibrated.
    :raises CheckFailed: no calibrator beats the constant.
    """
    table, parts = _read(scores, calibration.minimum_positives)
    report = json.loads(training_report.read_text())
    fitted_on = parts["calibration"]
    decision = _choose(fitted_on, calibration) if standing is None else _refresh(fitted_on, standing)
    calibrator, found, facts = decision.calibrator, decision.found, decision.facts
    judged = parts.get("holdout", fitted_on)
    how = "holdout" if "holdout" in parts else "cross_fit" if found else "in_sample"
    base_rate = float(fitted_on.target.mean())
    reference = _Leads(
        np.concatenate([part.margin for part in parts.values()]),
        np.concatenate([part.target for part in parts.values()]),
    )
    reference_scores = calibrator.apply(reference.margin)
    policy = freeze_policy(buckets.policy, buckets, reference_scores, base_rate)
    findings, warnings = bucket_findings(policy, reference_scores, reference.target, buckets)
    raw = sigmoid(reference.margin)
    lookup = lookup_table(calibrator, raw)
    lookup_facts = measure(calibrator, lookup, raw)
    if lookup_facts["largest_difference_on_grid"] > TOLERANCE + 1e-9:
        raise CheckFailed(
            f"lookup table differs by {lookup_facts['largest_difference_on_grid']:.6f} from the {calibrator.method} "
            f"calibrator, more than {TOLERANCE}, which an increasing curve cannot cause; report it with the calibrator"
        )
    probability = found.out_of_fold if found and how == "cross_fit" else calibrator.apply(judged.margin)
    evaluation = evaluate(
        judged.margin,
        judged.target,
        how=how,
        resamples=calibration.bootstrap,
        seed=calibration.seed,
        probability=probability,
        constant=base_rate if how == "holdout" else None,
    )
    before = evaluate(
        judged.margin,
        judged.target,
        how=how,
        resamples=calibration.bootstrap,
        seed=calibration.seed,
        probability=sigmoid(judged.margin),
        constant=base_rate if how == "holdout" else None,
    )
    in_sample = {row["method"]: row for row in facts["comparison"].get("in_sample", {}).get("rows", [])}
    metadata = {
        # the document's keys
        "calibration_method": calibrator.method,
        "brier_score": evaluation["brier"]["value"],
        "isotonic_brier": in_sample["isotonic"]["brier"] if in_sample else None,
        "platt_brier": in_sample["platt"]["brier"] if in_sample else None,
        "isotonic_log_loss": in_sample["isotonic"]["log_loss"] if in_sample else None,
        "platt_log_loss": in_sample["platt"]["log_loss"] if in_sample else None,
        "n_calibration_samples": len(fitted_on.target),
        "feature_names": feature_set.names,
        # and how each was obtained
        "how": {
            "brier_score": how,
            "isotonic_brier": "in_sample",
            "platt_brier": "in_sample",
            "isotonic_log_loss": "in_sample",
            "platt_log_loss": "in_sample",
        },
        "as_of": as_of.isoformat(),
        "belongs_to": {
            "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "note": (
                "the latest candidate, whether it was released or refused; the table of a released version is "
                "production/calibration_lookup_<version>.csv"
            ),
        },
        "feature_set": {"name": feature_set.name, "digest": feature_set.digest},
        "calibrator": calibrator.to_dict(),
        **facts,
        "base_rate": base_rate,
        "highest_score": float(reference_scores.max()),
        "calibration_part": {"n": len(fitted_on.target), "positives": int(fitted_on.target.sum())},
        "evaluation": evaluation,
        "before_calibration": {
            name: before[name] for name in ("how", "brier", "log_loss", "slope", "intercept", "ece", "mean_score")
        },
        "lookup": lookup_facts,
        "bucket_policy": policy.to_dict(),
        "buckets": {
            "how": "calibration in_sample + holdout" if how == "holdout" else "in_sample",
            "rows": bucket_table(policy, reference_scores, reference.target),
        },
        "findings": findings,
        "warnings": warnings,
    }
    names = (
        "calibrator.json", "bucket_policy.json", "calibration_metadata.json", "calibration_lookup_table.csv",
        "calibration_curves.png", "lift_chart.png", "calibrated_model.pkl", "reference.parquet",
    )  # fmt: skip
    files = {name: work / name for name in names}
    files["calibrator.json"].write_text(_json(calibrator.to_dict()))
    files["bucket_policy.json"].write_text(_json(policy.to_dict()))
    files["calibration_metadata.json"].write_text(_json(metadata))
    write_lookup(files["calibration_lookup_table.csv"], lookup)
    draw_curves(
        files["calibration_curves.png"],
        margin=judged.margin,
        target=judged.target,
        alternatives={**(found.alternatives if found else {}), calibrator.method: calibrator},
        chosen=calibrator.method,
        how=how if how == "holdout" else "in_sample",
    )
    draw_lift(files["lift_chart.png"], margin=judged.margin, target=judged.target, how=how)
    write_document_pickle(files["calibrated_model.pkl"], model.read_bytes(), calibrator, feature_set.names)
    kept = table.filter(pc.is_in(table["split"], pa.array(list(parts))))
    pq.write_table(
        kept.select(["lead_id", "split", "margin"]).append_column(
            "lead_score", pa.array(calibrator.apply(kept["margin"].to_numpy()))
        ),
        files["reference.parquet"],
    )
    return StageOutput(
        files=files,
        counts={
            "calibration_leads": len(fitted_on.target),
            "calibration_positives": int(fitted_on.target.sum()),
            "reference_leads": len(reference.target),
        },
        figures={
            "selected": calibrator.method,
            "rule": facts["rule"],
            "reason": facts["reason"],
            "comparison": facts["comparison"],
            "base_rate": base_rate,
            "training_split": report["split"]["how"],
            "evaluation": {
                name: evaluation[name]
                for name in (
                    "how",
                    "n",
                    "positives",
                    "auc_roc",
                    "auc_pr",
                    "top_decile_lift",
                    "brier",
                    "log_loss",
                    "log_loss_skill",
                    "slope",
                    "intercept",
                    "ece",
                    "ece_noise_floor",
                )
            },  # fmt: skip
            "bucket_policy": policy.to_dict(),
            "buckets": metadata["buckets"],
            "lookup": lookup_facts,
            "findings": findings,
            "warnings": warnings,
        },
    )


def _read(scores: Path, minimum_positives: int) -> tuple[pa.Table, dict[str, _Leads]]:
    table = pq.read_table(scores)
    parts = {}
    for name in ("calibration", "holdout"):
        part = table.filter(pc.equal(table["split"], name))
        if name == "holdout" and not part.num_rows:
            continue
        where = f"the {name} part of {SOURCE}"
        target = check_target(part["target"].to_numpy(), minimum_positives, where)
        parts[name] = _Leads(check_scores(part["margin"].to_numpy(), where, column="margin", probability=False), target)
    return table, parts


def _choose(fitted_on: _Leads, settings: CalibrationSettings) -> _Decision:
    found = calibrate(margin=fitted_on.margin, target=fitted_on.target, settings=settings)
    comparison = {"in_sample": found.in_sample, "cross_fit": found.cross_fit}
    return _Decision(found.calibrator, found, {"rule": found.rule, "reason": found.reason, "comparison": comparison})


def _refresh(fitted_on: _Leads, standing: Calibrator) -> _Decision:
    refreshed, record = refresh_intercept(standing, fitted_on.margin, fitted_on.target)
    reason = (
        f"intercept only: every score moved by {record['shift_log_odds']:+.4f} log-odds, because the mean score was "
        f"{record['mean_score_before']:.2%} and the conversion rate {record['rate']:.2%}"
    )
    return _Decision(refreshed, None, {"rule": "intercept_only", "reason": reason, "comparison": {}, "refresh": record})


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
