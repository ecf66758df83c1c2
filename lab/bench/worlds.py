"""``lead-scoring bench worlds``: what a release is worth on samples that differ in their seed.

Each world is a synthetic sample of its own, released as of the same day with the default settings. The figures are
those of the holdout: the log loss that is gone, as a share of the constant's, and the log loss of each model.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lab.bench.stability import LAST, features_of, model_of, shards_of
from lead_scoring.model.buckets import BUCKETS
from lead_scoring.pipeline import Pipeline
from lead_scoring.settings import load_settings

SEEDS = (1, 2, 3, 4, 5, 6, 7)


def run(quick: bool = False) -> dict[str, Any]:
    """One release a world: family, calibrator, gain, ties, leads a bucket.

    :returns: ``worlds`` (one row each), ``mean_log_loss_skill``, ``very_hot_empty`` (worlds), ``findings`` (worlds).
    """
    worlds = [_world(seed) for seed in (SEEDS[:1] if quick else SEEDS)]
    return {
        "worlds": worlds,
        "mean_log_loss_skill": float(np.mean([world["log_loss_skill"] for world in worlds])),
        "very_hot_empty": sum(not world["leads_by_bucket"][BUCKETS[0]] for world in worlds),
        "most_tied_in_top_decile": max(world["tied_in_top_decile"] for world in worlds),
        "findings": sum(bool(world["findings"]) for world in worlds),
    }


def _world(seed: int) -> dict[str, Any]:
    from lab.sample import write_sample

    with tempfile.TemporaryDirectory(prefix="worlds-") as folder:
        root = Path(folder)
        storage = {"warehouse.folder": "warehouse", "storage.runs": "runs", "storage.models": "models"}
        lines = Pipeline(load_settings(environment={}, overrides={k: str(root / name) for k, name in storage.items()}))
        write_sample(root / "raw", leads=12_000, seed=seed)
        lines.load_source(root / "raw")
        now = features_of(shards_of(lines, LAST, "score"), lines.feature_set(""))
        made = model_of(lines, shards_of(lines, LAST, "train"), LAST, now, root / "model", 42)
        report = json.loads((root / "model" / "training_report.json").read_text())
    rows = report["baselines"]["rows"]
    models = {row["model"]: round(row["log_loss"], 5) for row in rows}
    return {"world": seed, **made.figures, "log_loss_on_holdout": models}
