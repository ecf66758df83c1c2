"""What a stage reads decides whether its standing result is used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import CheckFailed
from tests.scoring.small_day import START, small_day, small_features, small_pipeline, small_shard


def test_scores_that_expire_on_another_day_are_made_again(tmp_path: Path) -> None:
    shard = small_shard(tmp_path)

    def expiry(days: int) -> Any:
        pipeline = small_pipeline(tmp_path, **{"scoring.expires_after_days": days})
        features = small_features(pipeline, START, shard)
        scored = pipeline.batch_score(features, pipeline.champion(), "shards/score-00000.parquet")
        return pq.read_table(scored.fetch(pipeline.runs, "scores.parquet"))["expires_on"][0].as_py()

    assert (expiry(7) - START).days == 7
    assert (expiry(3) - START).days == 3


def test_a_stricter_audit_is_not_answered_by_the_result_of_a_milder_one(tmp_path: Path) -> None:
    shard = small_shard(tmp_path)
    small_day(small_pipeline(tmp_path, **{"buckets.on_degenerate": "warn"}), START, shard)
    strict = {"buckets.on_degenerate": "refuse", "buckets.max_share_in_one": 0.01}
    with pytest.raises(CheckFailed, match=r"more than buckets\.max_share_in_one"):
        small_day(small_pipeline(tmp_path, **strict), START, shard)
