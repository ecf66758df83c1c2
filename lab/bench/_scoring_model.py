"""The model that the scoring benchmarks use: the document's parameters and features on synthetic leads, packaged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.catalog import FeatureSet, load_catalog
from lead_scoring.model import native
from lead_scoring.model.buckets import freeze_policy
from lead_scoring.model.calibrators import PlattCalibrator
from lead_scoring.settings import load_settings
from lead_scoring.stage import sha256_file

AS_OF = dt.date(2024, 12, 21)
LEADS = 8_135  # as many as the document trained on
# The document's tuned parameters: 59 trees of depth 8.
PARAMETERS: dict[str, Any] = {
    "objective": "binary:logistic",
    "max_depth": 8,
    "learning_rate": 0.0665318,
    "subsample": 0.6210246,
    "colsample_bytree": 0.7311403,
    "gamma": 4.6204434,
    "reg_alpha": 1.5883551,
    "reg_lambda": 3.3424921,
    "min_child_weight": 7,
    "scale_pos_weight": 33.76,
    "seed": 42,
    "nthread": 1,
}
TREES = 59


@dataclass(frozen=True)
class BenchModel:
    """:param folder: ``models/production``. :param booster: as trained."""

    folder: Path
    version: str
    feature_set: FeatureSet
    booster: xgb.Booster
    target: NDArray[np.float64]
    margins: NDArray[np.float64]


def leads(feature_set: FeatureSet, rows: int, seed: int) -> NDArray[np.float64]:
    """Plausible values within each feature's range: shape (rows, features), one value in twelve missing if allowed."""
    rng = np.random.default_rng(seed)
    medians = {
        "aum_growth_since_jan2024_pct": 8.0,
        "current_firm_tenure_months": 114.0,
        "days_in_gap": 1757.0,
        "firm_aum_pit": 4.2e10,
        "firm_net_change_12mo": -51.0,
        "firm_rep_count_at_contact": 104.0,
        "industry_tenure_months": 138.0,
        "num_prior_firms": 2.0,
    }
    columns = []
    for feature in feature_set.features:
        median = medians.get(feature.name)
        if feature.name.startswith("pit_mobility_tier"):
            values = (rng.random(rows) < 0.25).astype(np.float64)
        elif median is None:
            values = rng.poisson(0.4, rows).astype(np.float64)
        else:
            values = median * rng.lognormal(0.0, 1.0, rows)
        values = np.clip(np.round(values, 1), feature.minimum, feature.maximum)
        if feature.nullable:
            values[rng.random(rows) < 1 / 12] = np.nan
        columns.append(values)
    return np.column_stack(columns)


def build_model(folder: Path) -> BenchModel:
    """Train, calibrate by hand, and write the package."""
    settings = load_settings()
    feature_set = load_catalog(settings.config_folder).feature_set("phase6")
    matrix = leads(feature_set, LEADS, 1)
    tenure = matrix[:, feature_set.names.index("current_firm_tenure_months")]
    moves = matrix[:, feature_set.names.index("pit_moves_3yr")]
    odds = np.exp(-2.9 - 0.006 * tenure + 0.5 * moves)
    target = (np.random.default_rng(2).random(LEADS) < odds / (1 + odds)).astype(np.float64)
    names = list(feature_set.names)
    booster = xgb.train(PARAMETERS, xgb.DMatrix(matrix.astype(np.float32), target, feature_names=names), TREES)
    seen = leads(feature_set, 5_000, 3)
    margins = np.asarray(booster.inplace_predict(seen.astype(np.float32), predict_type="margin"), dtype=np.float64)
    calibrator = PlattCalibrator(0.7, -3.2)
    base_rate = float(calibrator.apply(margins).mean())
    spec = native.ScorerSpec(
        feature_set=feature_set.name,
        feature_set_digest=feature_set.digest,
        features=tuple(
            native.ScorerFeature(item.name, item.column, item.nullable, item.minimum, item.maximum)
            for item in feature_set.features
        ),
        calibrator=calibrator.to_dict(),
        bucket_policy=freeze_policy("lift", settings.buckets, calibrator.apply(margins), base_rate).to_dict(),
        base_rate=base_rate,
        reference_margins=native.reference_quantiles(margins),
        golden=tuple(
            {
                "features": {name: None if value != value else value for name, value in zip(names, row, strict=True)},
                "margin": float(margin),
                "lead_score": float(calibrator.apply(margin)),
            }
            for row, margin in zip(seen[:10].tolist(), margins[:10], strict=True)
        ),
    )
    data = bytes(booster.save_raw("ubj"))
    model_version = native.version_id(native.canonical_model_bytes(data, spec), AS_OF)
    folder.mkdir(parents=True, exist_ok=True)
    paths = native.write_native(folder, model_version, booster_ubj=data, scorer=spec)
    manifest = native.PackageManifest(
        version_id=model_version,
        as_of=AS_OF.isoformat(),
        feature_set=feature_set.name,
        feature_set_digest=feature_set.digest,
        feature_names=spec.feature_names,
        libraries={"xgboost": xgb.__version__, "numpy": version("numpy")},
        files={path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for path in paths},
    )
    (folder / native.package_files(model_version)["manifest"]).write_bytes(manifest.to_bytes())
    return BenchModel(folder, model_version, feature_set, booster, target, margins)


def write_shard(feature_set: FeatureSet, path: Path, rows: int) -> None:
    """A shard of the feature table of any length, in constant memory. The same 131,072 leads come round again and again
    under new ids, so that making them does not take longer than scoring them."""
    block = leads(feature_set, 131_072, 4)
    arrays = {name: pa.array(block[:, place], from_pandas=True) for place, name in enumerate(feature_set.columns)}
    fields = [pa.field("lead_id", pa.string()), *(pa.field(name, pa.float64()) for name in arrays)]
    schema = pa.schema([*fields, pa.field("feature_digest", pa.string()), pa.field("as_of", pa.date32())])
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["as_of"]) as writer:
        for start, count in _pieces(rows, len(block)):
            numbers = np.arange(start, start + count)
            texts = [np.char.mod("00Q%015d", numbers), np.char.mod("%016x", numbers)]
            values = [arrays[name].slice(0, count) for name in arrays]
            days = pa.repeat(pa.scalar(AS_OF, pa.date32()), count)
            batch = pa.record_batch([pa.array(texts[0]), *values, pa.array(texts[1]), days], schema=schema)
            writer.write_batch(batch)


def _pieces(rows: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, size):
        yield start, min(size, rows - start)
