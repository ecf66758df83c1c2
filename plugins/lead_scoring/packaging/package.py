"""The package of one version: every file under its final name, and a manifest with a digest of each."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import xgboost as xgb

from lead_scoring.catalog import FeatureSet
from lead_scoring.model.calibrators import calibrator_from_dict
from lead_scoring.model.native import (
    PackageManifest,
    ScorerFeature,
    ScorerSpec,
    canonical_model_bytes,
    package_files,
    reference_quantiles,
    version_id,
    write_native,
)
from lead_scoring.packaging.card import model_card
from lead_scoring.stage import StageOutput, sha256_file


@dataclass(frozen=True)
class PackageSources:
    """What training and calibration made, as files."""

    model: Path
    training_report: Path
    calibrator: Path
    bucket_policy: Path
    calibration_metadata: Path
    lookup: Path
    curves: Path
    lift_chart: Path
    pickle: Path
    reference: Path


@dataclass(frozen=True)
class ReleaseFacts:
    """What is known of the release beside its files, as JSON values.

    :param run: keys and digests of the stages before.
    :param findings: of the leak tripwire and the buckets. :param accepted_findings: the reason they were accepted with.
    :param gate: the gate's verdict, with the champion's version id under ``champion``.
    :param leakage: figures of the leak tripwire.
    :param history: registry entries of earlier versions.
    :param code_version: digest of the code of the stages that made it.
    """

    run: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]]
    accepted_findings: str | None
    gate: Mapping[str, Any] | None
    leakage: Mapping[str, Any] | None
    history: Sequence[Mapping[str, Any]]
    code_version: str


def version_of(
    *, model: Path, calibrator: Path, bucket_policy: Path, calibration_metadata: Path, feature_set: FeatureSet,
    as_of: dt.date,
) -> str:  # fmt: skip
    """The version id these files will have: the same on every retry, every worker and every day."""
    spec = _spec(feature_set, _load(calibrator), _load(bucket_policy), _load(calibration_metadata)["base_rate"])
    return version_id(canonical_model_bytes(model.read_bytes(), spec), as_of)


def package(
    sources: PackageSources,
    release: ReleaseFacts,
    *,
    feature_set: FeatureSet,
    as_of: dt.date,
    function_files: Mapping[str, str],
    work: Path,
) -> StageOutput:
    """Compute the version id and write the files of ``models/production``.

    :param function_files: relative name to text, of the HTTP function.
    """
    report, metadata = _load(sources.training_report), _load(sources.calibration_metadata)
    booster_ubj = sources.model.read_bytes()
    bare = _spec(feature_set, _load(sources.calibrator), _load(sources.bucket_policy), metadata["base_rate"])
    version = version_id(canonical_model_bytes(booster_ubj, bare), as_of)
    names = package_files(version)
    margins = pq.read_table(sources.reference, columns=["margin"])["margin"].to_numpy()
    fitted = calibrator_from_dict(_load(sources.calibrator))
    spec = replace(
        bare,
        reference_margins=reference_quantiles(margins),
        golden=tuple(_golden(booster_ubj, report["golden"], feature_set, fitted)),
    )
    files = {path.name: path for path in write_native(work, version, booster_ubj=booster_ubj, scorer=spec)}
    for logical in ("pickle", "lookup", "curves", "lift_chart"):
        files[names[logical]] = _write(work, names[logical], getattr(sources, logical).read_bytes())
    listed = json.dumps(feature_set.names, indent=2) + "\n"
    files[names["feature_names"]] = _write(work, names["feature_names"], listed.encode())
    for name, text in function_files.items():
        files[name] = _write(work, name, text.encode())
    facts = _facts(report, metadata, release)
    card = model_card(version, as_of, feature_set, facts, report["libraries"], release.history)
    files[names["model_card"]] = _write(work, names["model_card"], card.encode())
    manifest = PackageManifest(
        version_id=version,
        as_of=as_of.isoformat(),
        feature_set=feature_set.name,
        feature_set_digest=feature_set.digest,
        feature_names=tuple(feature_set.names),
        libraries=report["libraries"],
        files={
            name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for name, path in sorted(files.items())
        },
        details=facts,
    )
    files[names["manifest"]] = _write(work, names["manifest"], manifest.to_bytes())
    shown = ("performance", "calibration", "gate", "findings", "accepted_findings")
    return StageOutput(
        files=files,
        counts={"files": len(files), "golden_leads": len(spec.golden), "reference_leads": len(margins)},
        figures={
            "version_id": version,
            "manifest_digest": sha256_file(files[names["manifest"]]),
            "model_card": names["model_card"],
            "feature_set": feature_set.name,
            **{name: facts[name] for name in shown},
        },
    )


def _facts(report: Mapping[str, Any], metadata: Mapping[str, Any], release: ReleaseFacts) -> dict[str, Any]:
    """What the manifest tells of the making, and the card shows."""
    return {
        "performance": _performance(metadata),
        "calibration": _calibration(metadata),
        "obtained": {"performance": metadata["evaluation"]["how"], "brier_score": metadata["evaluation"]["how"]},
        "evaluation": metadata["evaluation"],
        "before_calibration": metadata["before_calibration"],
        "comparison": metadata["comparison"],
        "selection": {"rule": metadata["rule"], "reason": metadata["reason"]},
        "split": report["split"],
        "recipe": report["recipe"],
        "family": report["family"],
        "parameters": report["parameters"],
        "search": report["search"],
        "baselines": report["baselines"],
        "in_sample": report["in_sample"],
        "segments": report["segments"],
        "importance": report["importance"],
        "bucket_policy": metadata["bucket_policy"],
        "buckets": metadata["buckets"],
        "lookup": metadata["lookup"],
        "warnings": metadata["warnings"],
        "findings": list(release.findings),
        "accepted_findings": release.accepted_findings,
        "gate": release.gate,
        "leakage": release.leakage,
        "run": dict(release.run),
        "code_version": release.code_version,
        "base_rate": metadata["base_rate"],
        "highest_score": metadata["highest_score"],
    }


def _load(path: Path) -> Any:
    return json.loads(path.read_text())


def _write(work: Path, name: str, data: bytes) -> Path:
    path = work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _spec(
    feature_set: FeatureSet, calibrator: Mapping[str, Any], policy: Mapping[str, Any], base_rate: float
) -> ScorerSpec:
    features = tuple(
        ScorerFeature(
            item.name,
            item.column,
            item.nullable,
            item.minimum,
            item.maximum,
            item.clip_up_to,
            item.clip_down_to,
            item.categories,
            item.missing_values,
        )  # fmt: skip
        for item in feature_set.features
    )
    return ScorerSpec(feature_set.name, feature_set.digest, features, calibrator, policy, base_rate)


def _golden(
    booster_ubj: bytes, leads: Sequence[Mapping[str, float | None]], feature_set: FeatureSet, calibrator: Any
) -> list[dict[str, Any]]:
    """Known answers: what this process computes from the very bytes that are packaged."""
    booster = xgb.Booster()
    booster.load_model(bytearray(booster_ubj))
    rows = np.array([
        [np.nan if lead[name] is None else lead[name] for name in feature_set.names] for lead in leads
    ], dtype=np.float64)  # fmt: skip
    data = xgb.DMatrix(rows, feature_names=feature_set.names, missing=np.nan)
    margins = np.asarray(booster.predict(data, output_margin=True), dtype=np.float64)
    scores = calibrator.apply(margins)
    return [
        {"features": dict(lead), "margin": float(margin), "lead_score": float(score)}
        for lead, margin, score in zip(leads, margins, scores, strict=True)
    ]


def _performance(metadata: Mapping[str, Any]) -> dict[str, float | None]:
    """The document's five figures, of leads that judged. None where the figures are in sample: nothing was tested."""
    found = metadata["evaluation"]
    names = ("test_auc_roc", "test_auc_pr", "top_decile_lift", "baseline_rate", "top_decile_rate")
    if found["how"] == "in_sample":
        return dict.fromkeys(names)
    return {
        "test_auc_roc": found["auc_roc"]["value"],
        "test_auc_pr": found["auc_pr"]["value"],
        "top_decile_lift": found["top_decile_lift"]["value"],
        "baseline_rate": found["baseline_rate"]["value"],
        "top_decile_rate": found["top_decile_rate"]["value"],
    }


def _calibration(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"method": metadata["calibration_method"], "brier_score": metadata["brier_score"]}
