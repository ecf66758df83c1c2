"""A small packaged model of our own making: 12 features as in the document, 20 trees, Platt, one manifest."""

from __future__ import annotations

import datetime as dt
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

from lead_scoring.model import native
from lead_scoring.model.buckets import BucketPolicy
from lead_scoring.model.calibrators import PlattCalibrator
from lead_scoring.registry import REGISTRY_FILE, EventLog, fold
from lead_scoring.stage import sha256_bytes, sha256_file
from lead_scoring.storage import open_store

AS_OF = dt.date(2024, 12, 21)
NAMES = (
    "current_firm_tenure_months",
    "days_in_gap",
    "firm_aum_pit",
    "firm_net_change_12mo",
    "firm_rep_count_at_contact",
    "industry_tenure_months",
    "num_prior_firms",
    "pit_moves_3yr",
    "aum_growth_since_jan2024_pct",
    "pit_mobility_tier_Highly Mobile",
    "pit_mobility_tier_Mobile",
    "pit_mobility_tier_Stable",
)
NULLABLE = {"firm_aum_pit", "aum_growth_since_jan2024_pct"}
CLIPPED = "industry_tenure_months"  # 10,000 at most, and up to 100,000 it counts as that
SIGNED = {"firm_net_change_12mo", "aum_growth_since_jan2024_pct"}
FEATURES = tuple(
    native.ScorerFeature(
        name,
        name.replace(" ", "_"),
        name in NULLABLE,
        None if name in SIGNED else 0.0,
        1.0 if "tier" in name else 1e4 if name == CLIPPED else 1e13,
        1e5 if name == CLIPPED else None,
    )
    for name in NAMES
)


def random_matrix(rows: int, seed: int = 3) -> np.ndarray:
    """Plausible leads: shape (rows, 12), NaN only where a feature is nullable."""
    rng = np.random.default_rng(seed)
    matrix = rng.gamma(2.0, 60.0, size=(rows, len(NAMES)))
    matrix[:, [NAMES.index(name) for name in sorted(SIGNED)]] -= 150.0
    matrix[:, 2] *= 1e8
    matrix[:, 9:] = rng.integers(0, 2, size=(rows, 3))
    for name in sorted(NULLABLE):
        matrix[rng.random(rows) < 0.1, NAMES.index(name)] = np.nan
    return matrix


def as_lead(row: Any) -> dict[str, float | None]:
    return {name: None if value != value else float(value) for name, value in zip(NAMES, row, strict=True)}


def build_package(
    folder: Path, *, seed: int = 1, as_of: dt.date = AS_OF, golden_shift: float = 0.0, libraries: Any = None
) -> str:
    """Write a complete package into ``folder`` and return its version."""
    rng = np.random.default_rng(seed)
    train = random_matrix(3000, seed)
    signal = -0.01 * train[:, 0] + 1.5 * train[:, 9] - 0.004 * np.nan_to_num(train[:, 8])
    target = (rng.random(3000) < 1 / (1 + np.exp(1.5 - signal))).astype(float)
    booster = xgb.train(
        {"max_depth": 5, "objective": "binary:logistic", "seed": seed, "nthread": 1, "scale_pos_weight": 5.0},
        xgb.DMatrix(train.astype(np.float32), target, feature_names=list(NAMES)),
        20,
    )
    calibrator = PlattCalibrator(0.8, -2.0)
    reference = random_matrix(500, seed + 1).astype(np.float32)
    margins = booster.inplace_predict(reference, predict_type="margin").astype(np.float64)
    golden = tuple(
        {
            "features": as_lead(row),
            "margin": float(margin) + golden_shift,
            "lead_score": float(calibrator.apply(margin)),
        }
        for row, margin in zip(reference[:5].astype(float), margins[:5], strict=True)
    )
    spec = native.ScorerSpec(
        feature_set="phase6",
        feature_set_digest="f" * 64,
        features=FEATURES,
        calibrator=calibrator.to_dict(),
        bucket_policy=BucketPolicy("lift", (0.45, 0.30, 0.15), 0.15).to_dict(),
        base_rate=0.15,
        reference_margins=native.reference_quantiles(margins),
        golden=golden,
    )
    return write_package(folder, bytes(booster.save_raw("ubj")), spec, as_of, libraries)


def write_package(
    folder: Path, booster: bytes, spec: native.ScorerSpec, as_of: dt.date = AS_OF, libraries: Any = None
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    model_version = native.version_id(native.canonical_model_bytes(booster, spec), as_of)
    names = native.package_files(model_version)
    paths = native.write_native(folder, model_version, booster_ubj=booster, scorer=spec)
    (folder / names["feature_names"]).write_text(json.dumps(list(spec.feature_names)))
    paths.append(folder / names["feature_names"])
    manifest = native.PackageManifest(
        version_id=model_version,
        as_of=as_of.isoformat(),
        feature_set=spec.feature_set,
        feature_set_digest=spec.feature_set_digest,
        feature_names=spec.feature_names,
        libraries=libraries or {"xgboost": xgb.__version__, "numpy": version("numpy")},
        files={path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for path in paths},
    )
    (folder / names["manifest"]).write_bytes(manifest.to_bytes())
    return model_version


def write_registry(models: Path, model_version: str, **changes: str) -> None:
    """Two more events, as the registry writes them: the version is registered and promoted."""
    manifest = (models / "production" / f"manifest_{model_version}.json").read_bytes()
    facts: dict[str, Any] = {"performance": {}, "calibration": {}, "feature_set": "phase6", "run": ""}
    facts |= {"manifest_digest": sha256_bytes(manifest), **changes}
    log = EventLog(open_store(models))
    clock = dt.datetime(2024, 12, 21, 6, tzinfo=dt.UTC)
    for kind, details in (("register", facts), ("promote", {})):
        log.read()
        log.append(log.next(kind, model_version, clock=clock, actor="cli:test", reason="test", request="", **details))
    (models / REGISTRY_FILE).unlink(missing_ok=True)
    (models / REGISTRY_FILE).write_bytes(fold(log.read()).to_json())


def write_shard(
    path: Path, rows: int, seed: int, *, tenure_factor: float = 1.0, bad_rows: int = 0, start: int = 0
) -> Path:
    """A shard of the feature table as the features room writes it: warehouse names, ids, digest, as_of."""
    matrix = random_matrix(rows, seed)
    matrix[:, 0] *= tenure_factor
    matrix[:bad_rows, NAMES.index("pit_moves_3yr")] = -1.0
    columns: dict[str, Any] = {
        "lead_id": pa.array([f"00Q{start + row:012d}AAA" for row in range(rows)], pa.string()),
        "pit_date": pa.array([AS_OF] * rows, pa.date32()),
        "target": pa.nulls(rows, pa.int64()),
        "scorable": pa.array([True] * rows, pa.bool_()),
    }
    for place, feature in enumerate(FEATURES):
        columns[feature.column] = pa.array(matrix[:, place], from_pandas=True)
    columns["feature_digest"] = pa.array([sha256_bytes(row.tobytes())[:16] for row in matrix], pa.string())
    columns["as_of"] = pa.array([AS_OF] * rows, pa.date32())
    pq.write_table(pa.table(columns), path)
    return path
