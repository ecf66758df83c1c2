"""The calibration stage: margins of models that never saw the lead in, the document's files and a frozen policy out."""

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
from lead_scoring.model.buckets import BucketPolicy, freeze_policy
from lead_scoring.model.calibrators import Calibrator, sigmoid
from lead_scoring.model.document_pickle import write_document_pickle
from lead_scoring.settings import BucketSettings, CalibrationSettings
from lead_scoring.stage import StageOutput

Floats = NDArray[np.float64]
SOURCE = "scores.parquet"
FILES = (
    "calibrator.json", "bucket_policy.json", "calibration_metadata.json", "calibration_lookup_table.csv",
    "calibration_curves.png", "lift_chart.png", "calibrated_model.pkl", "reference.parquet",
)  # fmt: skip


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
    """Choose and fit a calibrator on cross-fitted margins, judge it on the holdout, freeze the bucket policy.

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
    reference = _Leads(
        np.concatenate([part.margin for part in parts.values()]),
        np.concatenate([part.target for part in parts.values()]),
    )
    judged = _judge(parts, decision, calibration)
    frozen = _freeze(decision.calibrator, reference, float(fitted_on.target.mean()), buckets)
    lookup, lookup_facts = _lookup(decision.calibrator, reference)
    metadata = {
        **_document_keys(decision, judged, len(fitted_on.target), feature_set),
        "as_of": as_of.isoformat(),
        "belongs_to": _belongs_to(model),
        "feature_set": {"name": feature_set.name, "digest": feature_set.digest},
        "calibrator": decision.calibrator.to_dict(),
        **decision.facts,
        "base_rate": frozen.base_rate,
        "highest_score": float(frozen.scores.max()),
        "calibration_part": {"n": len(fitted_on.target), "positives": int(fitted_on.target.sum())},
        "evaluation": judged.after,
        "before_calibration": {
            name: judged.before[name]
            for name in ("how", "brier", "log_loss", "slope", "intercept", "ece", "mean_score")
        },
        "lookup": lookup_facts,
        "bucket_policy": frozen.policy.to_dict(),
        "buckets": {
            "how": "calibration cross_fit + holdout" if judged.how == "holdout" else "in_sample",
            "rows": bucket_table(frozen.policy, frozen.scores, reference.target),
        },
        "findings": frozen.findings,
        "warnings": frozen.warnings,
    }  # fmt: skip
    files = {name: work / name for name in FILES}
    files["calibrator.json"].write_text(_json(decision.calibrator.to_dict()))
    files["bucket_policy.json"].write_text(_json(frozen.policy.to_dict()))
    files["calibration_metadata.json"].write_text(_json(metadata))
    write_lookup(files["calibration_lookup_table.csv"], lookup)
    _draw(files, judged, decision)
    write_document_pickle(files["calibrated_model.pkl"], model.read_bytes(), decision.calibrator, feature_set.names)
    _write_reference(files["reference.parquet"], table, list(parts), decision.calibrator)
    counts = {
        "calibration_leads": len(fitted_on.target),
        "calibration_positives": int(fitted_on.target.sum()),
        "reference_leads": len(reference.target),
    }
    return StageOutput(files, counts, _figures(metadata, str(report["split"]["how"])))


@dataclass(frozen=True)
class _Judged:
    """The leads that judge, and the figures of their scores before and after calibration."""

    leads: _Leads
    how: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class _Frozen:
    """:param scores: calibrated scores of the reference leads, shape (n,)."""

    policy: BucketPolicy
    base_rate: float
    scores: Floats
    findings: list[dict[str, Any]]
    warnings: list[dict[str, Any]]


def _judge(parts: Mapping[str, _Leads], decision: _Decision, settings: CalibrationSettings) -> _Judged:
    leads = parts.get("holdout", parts["calibration"])
    how = "holdout" if "holdout" in parts else "cross_fit" if decision.found else "in_sample"
    constant = float(parts["calibration"].target.mean()) if how == "holdout" else None
    calibrated = decision.calibrator.apply(leads.margin)
    if decision.found and how == "cross_fit":
        calibrated = decision.found.out_of_fold
    before, after = (
        evaluate(
            leads.margin, leads.target, how=how, resamples=settings.bootstrap, seed=settings.seed,
            probability=probability, constant=constant,
        )
        for probability in (sigmoid(leads.margin), calibrated)
    )  # fmt: skip
    return _Judged(leads, how, before, after)


def _freeze(calibrator: Calibrator, reference: _Leads, base_rate: float, buckets: BucketSettings) -> _Frozen:
    scores = calibrator.apply(reference.margin)
    policy = freeze_policy(buckets.policy, buckets, scores, base_rate)
    findings, warnings = bucket_findings(policy, scores, reference.target, buckets)
    return _Frozen(policy, base_rate, scores, findings, warnings)


def _lookup(calibrator: Calibrator, reference: _Leads) -> tuple[Any, dict[str, Any]]:
    raw = sigmoid(reference.margin)
    lookup = lookup_table(calibrator, raw)
    facts = measure(calibrator, lookup, raw)
    if facts["largest_difference_on_grid"] > TOLERANCE + 1e-9:
        raise CheckFailed(
            f"lookup table differs by {facts['largest_difference_on_grid']:.6f} from the {calibrator.method} "
            f"calibrator, more than {TOLERANCE}, which an increasing curve cannot cause; report it with the calibrator"
        )
    return lookup, facts


def _document_keys(decision: _Decision, judged: _Judged, leads: int, feature_set: FeatureSet) -> dict[str, Any]:
    """The document's keys, and how each was obtained."""
    in_sample = {row["method"]: row for row in decision.facts["comparison"].get("in_sample", {}).get("rows", [])}
    shown = {
        f"{method}_{figure}": in_sample[method][key] if in_sample else None
        for method in ("isotonic", "platt")
        for figure, key in (("brier", "brier"), ("log_loss", "log_loss"))
    }
    return {
        "calibration_method": decision.calibrator.method,
        "brier_score": judged.after["brier"]["value"],
        **shown,
        "n_calibration_samples": leads,
        "feature_names": feature_set.names,
        "how": {"brier_score": judged.how, **dict.fromkeys(shown, "in_sample")},
    }


def _belongs_to(model: Path) -> dict[str, str]:
    return {
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "note": (
            "the latest candidate, whether it was released or refused; the table of a released version is "
            "production/calibration_lookup_<version>.csv"
        ),
    }


def _draw(files: Mapping[str, Path], judged: _Judged, decision: _Decision) -> None:
    margin, target, method = judged.leads.margin, judged.leads.target, decision.calibrator.method
    draw_curves(
        files["calibration_curves.png"],
        margin=margin,
        target=target,
        alternatives={**(decision.found.alternatives if decision.found else {}), method: decision.calibrator},
        chosen=method,
        how=judged.how if judged.how == "holdout" else "in_sample",
    )
    draw_lift(files["lift_chart.png"], margin=margin, target=target, how=judged.how)


def _write_reference(path: Path, table: pa.Table, parts: list[str], calibrator: Calibrator) -> None:
    kept = table.filter(pc.is_in(table["split"], pa.array(parts)))
    scores = pa.array(calibrator.apply(kept["margin"].to_numpy()))
    pq.write_table(kept.select(["lead_id", "split", "margin"]).append_column("lead_score", scores), path)


def _figures(metadata: Mapping[str, Any], training_split: str) -> dict[str, Any]:
    """What the manifest of the stage tells."""
    shown = (
        "how", "n", "positives", "auc_roc", "auc_pr", "top_decile_lift", "tied_in_top_decile", "brier", "log_loss",
        "log_loss_skill", "slope", "intercept", "ece", "ece_noise_floor",
    )  # fmt: skip
    kept = ("rule", "reason", "comparison", "base_rate", "bucket_policy", "buckets", "lookup", "findings", "warnings")
    return {
        "selected": metadata["calibration_method"],
        "training_split": training_split,
        "evaluation": {name: metadata["evaluation"][name] for name in shown},
        **{name: metadata[name] for name in kept},
    }


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
