"""``lead-scoring bench stability``: what another seed, or another month of data, changes in the day's call list.

Models are trained on the synthetic sample and score the same leads: those to be scored as of the last day. What new
data of the leads themselves change is left out that way.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lead_scoring.calibration import calibrate_stage
from lead_scoring.catalog import FeatureSet
from lead_scoring.model.buckets import BUCKETS, BucketPolicy
from lead_scoring.model.calibrators import calibrator_from_dict
from lead_scoring.packaging.churn import churn
from lead_scoring.pipeline import Pipeline
from lead_scoring.settings import Settings, load_settings
from lead_scoring.training import train
from lead_scoring.training.booster import margins, matrix
from lead_scoring.training.families import load

LAST = dt.date(2024, 12, 21)
MONTHS = (dt.date(2024, 10, 21), dt.date(2024, 11, 21), LAST)
SEEDS = (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Scored:
    """One model's answer for the leads of the last day, and what its release said of it."""

    family: str
    margin: NDArray[np.float64]
    codes: NDArray[np.int8]
    figures: dict[str, Any]


def run(quick: bool = False) -> dict[str, Any]:
    """Churn per pair of seeds and per pair of consecutive months, over the leads to be scored."""
    from lab.sample import write_sample

    with tempfile.TemporaryDirectory(prefix="stability-") as folder:
        root = Path(folder)
        storage = {"warehouse.folder": "warehouse", "storage.runs": "runs", "storage.models": "models"}
        overrides = {key: str(root / name) for key, name in storage.items()}
        pipeline = Pipeline(load_settings(environment={}, overrides=overrides))
        write_sample(root / "raw", leads=12_000, seed=7)
        pipeline.load_source(root / "raw")
        days = MONTHS[-2:] if quick else MONTHS
        tables = {day: shards_of(pipeline, day, "train") for day in days}
        now = features_of(shards_of(pipeline, LAST, "score"), pipeline.feature_set(""))
        seeds = SEEDS[:2] if quick else SEEDS
        by_seed = [model_of(pipeline, tables[LAST], LAST, now, root / f"seed-{seed}", seed) for seed in seeds]
        by_month = [model_of(pipeline, tables[day], day, now, root / f"month-{day}", 42) for day in days]
    return {
        "leads": len(now),
        "seeds": {"models": [model.figures for model in by_seed], **_pairs(list(itertools.combinations(by_seed, 2)))},
        "months": {"models": [model.figures for model in by_month], **_pairs(list(itertools.pairwise(by_month)))},
    }


def shards_of(pipeline: Pipeline, day: dt.date, kind: str) -> list[Path]:
    return list(pipeline.materialize_features(day).fetch_all(pipeline.runs, f"shards/{kind}-"))


def features_of(shards: Sequence[Path], feature_set: FeatureSet) -> NDArray[np.float64]:
    table = pa.concat_tables([pq.read_table(path) for path in shards])
    return np.column_stack([table[name].to_numpy().astype(np.float64) for name in feature_set.columns])


def model_of(
    pipeline: Pipeline, shards: list[Path], day: dt.date, now: NDArray[np.float64], work: Path, seed: int
) -> Scored:
    settings: Settings = pipeline.settings
    feature_set = pipeline.feature_set("")
    work.mkdir()
    trained = train(
        shards,
        feature_set=feature_set,
        as_of=day,
        settings=dataclasses.replace(settings.training, seed=seed),
        label_window_days=settings.features.label_window_days,
        work=work,
    )
    calibrated = calibrate_stage(
        trained.files["scores.parquet"],
        trained.files["model.ubj"],
        trained.files["training_report.json"],
        feature_set=feature_set,
        as_of=day,
        calibration=settings.calibration,
        buckets=settings.buckets,
        work=work,
    )
    margin = margins(load(trained.files["model.ubj"].read_bytes()), matrix(now, feature_set.names))
    calibrator = calibrator_from_dict(json.loads(calibrated.files["calibrator.json"].read_text()))
    policy = BucketPolicy.from_dict(json.loads(calibrated.files["bucket_policy.json"].read_text()))
    codes = policy.assign(calibrator.apply(margin))
    found = calibrated.figures["evaluation"]
    return Scored(
        trained.figures["chosen"],
        margin,
        codes,
        {
            "as_of": day.isoformat(),
            "seed": seed,
            "family": trained.figures["chosen"],
            "calibrator": calibrated.figures["selected"],
            "calibration_positives": calibrated.counts["calibration_positives"],
            "log_loss_skill": round(found["log_loss_skill"]["value"], 4),
            "tied_in_top_decile": round(found["tied_in_top_decile"], 4),
            "leads_by_bucket": {name: int((codes == code).sum()) for code, name in enumerate(BUCKETS)},
            "findings": [item["code"] for item in calibrated.figures["findings"]],
        },
    )


def _pairs(pairs: list[tuple[Scored, Scored]]) -> dict[str, Any]:
    found = [
        churn(
            after.codes, after.margin,
            pa.table({"score_bucket": [BUCKETS[code] for code in before.codes], "margin": before.margin}),
        )
        for before, after in pairs
    ]  # fmt: skip
    kept = [item["hot_kept_share"] for item in found if item["hot_kept_share"] is not None]
    return {
        "pairs": len(found),
        "moved_share": float(np.mean([item["moved_share"] for item in found])),
        "worst_moved_share": float(np.max([item["moved_share"] for item in found])),
        "hot_kept_share": float(np.mean(kept)) if kept else None,
        "top_decile_overlap": float(np.mean([item["top_decile_overlap"] for item in found])),
    }
