"""What a run writes aside to be audited goes when the run is published, and only then."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.errors import CheckFailed
from lead_scoring.scoring import STAGING_TABLES, publish
from tests.scoring.small_day import START, small_day, small_pipeline, small_shard


def test_staging_goes_when_the_run_is_published(tmp_path: Path) -> None:
    pipeline = small_pipeline(tmp_path)
    published = small_day(pipeline, START, small_shard(tmp_path))
    assert published.counts["scored"] == 20
    assert not set(STAGING_TABLES) & set(pipeline.warehouse.tables())
    assert small_day(pipeline, START, tmp_path / "leads.parquet") == published  # a retry finds the finished work


def test_staging_of_a_run_that_was_refused_stays_to_be_looked_at(tmp_path: Path) -> None:
    strict = {"buckets.on_degenerate": "refuse", "buckets.max_share_in_one": 0.01}
    pipeline = small_pipeline(tmp_path, **strict)
    with pytest.raises(CheckFailed):
        small_day(pipeline, START, small_shard(tmp_path))
    assert set(STAGING_TABLES) <= set(pipeline.warehouse.tables())


def test_an_attempt_whose_staging_was_dropped_by_the_winner_ends_with_the_winners_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = small_shard(tmp_path)
    small_pipeline(tmp_path)
    winner_is_done = threading.Event()
    made: dict[str, Any] = {}
    ensure = publish._ensure_published_table

    def slow(*arguments: Any) -> None:
        if threading.current_thread() is loser:
            winner.start()
            winner.join()
            assert winner_is_done.is_set()
        ensure(*arguments)

    def attempt(name: str) -> None:
        made[name] = small_day(small_pipeline(tmp_path), START, shard)
        winner_is_done.set()

    monkeypatch.setattr(publish, "_ensure_published_table", slow)  # after it staged its rows, before it audits them
    winner = threading.Thread(target=attempt, args=("winner",))
    loser = threading.Thread(target=attempt, args=("loser",))
    loser.start()
    loser.join()
    assert made["winner"] == made["loser"]
