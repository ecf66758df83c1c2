"""A day of the pipeline without source tables: a few leads, a small package, real stores and a real warehouse."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.pipeline import Pipeline
from lead_scoring.settings import load_settings
from lead_scoring.stage import Manifest, StageOutput, run_stage
from tests.scoring.small_package import build_package, write_registry, write_shard

START = dt.date(2024, 12, 21)


def small_pipeline(folder: Path, home: Path | None = None, **changes: Any) -> Pipeline:
    """A pipeline of its own below ``folder``, with one small model in production."""
    if not (folder / "models").exists():
        write_registry(folder / "models", build_package(folder / "models" / "production"))
    places = {"storage.runs": "runs", "storage.models": "models", "warehouse.folder": "warehouse"}
    overrides = {name: str(folder / place) for name, place in places.items()}
    return Pipeline(load_settings(home, environment={}, overrides=overrides | changes))


def small_features(pipeline: Pipeline, as_of: dt.date, shard: Path, seed: int = 3) -> Manifest:
    """The manifest of a day's features: one shard of leads, none of them to be trained on."""
    table = pq.read_table(shard)
    table = table.set_column(
        table.schema.get_field_index("as_of"), "as_of", pa.array([as_of] * table.num_rows, pa.date32())
    )

    def build(work: Path) -> StageOutput:
        pq.write_table(table, work / "score.parquet")
        rejected = {"lead_id": pa.nulls(0, pa.string()), "reasons": pa.nulls(0, pa.string())}
        rejected["as_of"] = pa.nulls(0, pa.date32())
        pq.write_table(pa.table(rejected), work / "rejected.parquet")
        files = {"shards/score-00000.parquet": work / "score.parquet", "rejected.parquet": work / "rejected.parquet"}
        return StageOutput(files, counts={"score_rows": table.num_rows}, figures={"has_ids": True})

    return run_stage(pipeline.runs, "materialize_features", as_of, {"source": seed}, build)


def small_day(pipeline: Pipeline, as_of: dt.date, shard: Path) -> Manifest:
    """Score and publish one day; the manifest of the publish."""
    features = small_features(pipeline, as_of, shard)
    version = pipeline.champion()
    scored = [pipeline.batch_score(features, version, name) for name in pipeline.score_shards(features)]
    return pipeline.publish_scores(features, scored, version)


def small_shard(folder: Path, rows: int = 20) -> Path:
    return write_shard(folder / "leads.parquet", rows, 3)


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
