"""Publishing under SIGKILL and under a second attempt of itself: the same rows, once."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.scoring import LeadScorer, score_shard
from lead_scoring.settings import load_settings
from lead_scoring.warehouse import open_warehouse

DAY = dt.date(2024, 12, 21)
RUN = "20241221-00000000"
# One attempt as a task makes it. It says when it is ready, so the kills fall on its work and not on its imports.
ATTEMPT = """
import datetime as dt, sys, tempfile
from pathlib import Path
from lead_scoring.scoring import audit_scores, publish_partition
from lead_scoring.settings import load_settings
from lead_scoring.warehouse import open_warehouse
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
root, version = Path(sys.argv[1]), sys.argv[2]
settings = load_settings(environment={}, overrides={"warehouse.folder": str(root / "warehouse")})
warehouse, day = open_warehouse(settings), dt.date(2024, 12, 21)
print("ready", flush=True)
sys.stdin.readline()
with tempfile.TemporaryDirectory(dir=root) as folder:
    out = audit_scores(warehouse, as_of=day, shards=[root / "work" / "scores.parquet"],
        rejected=[root / "work" / "rejected.parquet"], expected=[root / "score-00000.parquet"],
        version=version, run_key="20241221-00000000", settings=settings, work=Path(folder))
    publish_partition(warehouse, day, [out.files["scores/00000.parquet"]], out.files["rejected.parquet"])
print("done", flush=True)
"""


class Attempt:
    def __init__(self, root: Path, version: str) -> None:
        command = [sys.executable, "-c", ATTEMPT, str(root), version]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def root(tmp_path: Path, scorer: LeadScorer, shard: Path) -> Path:
    (tmp_path / "work").mkdir()
    settings = load_settings(environment={})
    score_shard(scorer, shard, as_of=DAY, run_key=RUN, settings=settings.scoring, work=tmp_path / "work")
    return tmp_path


def published(root: Path) -> list[dict[str, Any]]:
    warehouse = open_warehouse(load_settings(environment={}, overrides={"warehouse.folder": str(root / "warehouse")}))
    if "lead_scores" not in warehouse.tables():
        return []
    sql = "SELECT lead_id, as_of, lead_score, run_key, trend FROM lead_scores ORDER BY lead_id"
    return warehouse.query(sql, {}).to_pylist()


@pytest.mark.slow
def test_a_retry_after_a_kill_publishes_once(root: Path, scorer: LeadScorer) -> None:
    killed = 0
    for delay in (0.0, 0.05, 0.15, 0.3):
        attempt = Attempt(root, scorer.model_version)
        attempt.start()
        time.sleep(delay)
        attempt.process.send_signal(signal.SIGKILL)
        killed += attempt.end() == -signal.SIGKILL
        assert len(published(root)) in {0, 100}  # the old state or the new one, never a part
    assert killed
    attempt = Attempt(root, scorer.model_version)
    attempt.start()
    assert attempt.end() == 0
    rows = published(root)
    assert len(rows) == 100
    assert len({row["lead_id"] for row in rows}) == 100


def test_two_attempts_at_once_publish_the_same_rows_once(root: Path, scorer: LeadScorer) -> None:
    attempts = [Attempt(root, scorer.model_version) for _ in range(2)]
    for attempt in attempts:
        attempt.start()
    assert [attempt.end() for attempt in attempts] == [0, 0]
    rows = published(root)
    assert len(rows) == 100
    assert {row["trend"] for row in rows} == {"new"}
