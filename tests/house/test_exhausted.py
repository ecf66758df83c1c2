"""Memory or disk that runs out is no bad input: the message names what to turn, and a task tries again."""

from __future__ import annotations

import datetime as dt
import errno
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.cli import main
from lead_scoring.errors import BadInput, Exhausted, Transient, exhausted
from lead_scoring.stage import StageOutput, run_stage
from lead_scoring.storage.local import LocalStore
from lead_scoring.warehouse.embedded import EmbeddedWarehouse

FULL = OSError(errno.ENOSPC, "No space left on device", "/somewhere/part-00000.parquet")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FULL, "the disk is full (/somewhere/part-00000.parquet); free space (`lead-scoring tidy`"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "storage.runs, warehouse.folder or TMPDIR"),
        (duckdb.IOException("IO Error: Could not write file: No space left on device"), "the disk is full"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"), "raise warehouse.memory_limit_mb"),
        (MemoryError(), "memory ran out; give the task more"),
        (pa.lib.ArrowMemoryError("malloc of size 1 failed"), "memory ran out"),
        (RuntimeError("std::bad_alloc"), "memory ran out"),
    ],
)
def test_what_ran_out_is_named_with_what_to_turn(error: Exception, words: str) -> None:
    found = exhausted(error)
    assert isinstance(found, Transient)
    assert words in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "error", [ValueError("a"), FileNotFoundError(errno.ENOENT, "gone"), BadInput("no"), KeyError("x")]
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert exhausted(error) is None


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_stage_that_runs_out_can_be_tried_again(tmp_path: Path, error: Exception) -> None:
    runs, left = LocalStore(tmp_path), [error]

    def build(work: Path) -> StageOutput:
        if left:
            raise left.pop()
        return StageOutput(files={}, counts={"rows": 1}, figures={})

    with pytest.raises(Exhausted):
        run_stage(runs, "a_stage", dt.date(2024, 12, 21), {"a": 1}, build)
    assert run_stage(runs, "a_stage", dt.date(2024, 12, 21), {"a": 1}, build).counts == {"rows": 1}


def test_a_query_past_its_memory_says_which_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = EmbeddedWarehouse(tmp_path / "warehouse", memory_limit_mb=20, threads=1)
    pq.write_table(pa.table({"a": [f"value {number:040d}" for number in range(300_000)]}), tmp_path / "a.parquet")
    warehouse.replace_partition("numbers", "all", [tmp_path / "a.parquet"])
    connect = duckdb.connect
    small = {"max_temp_directory_size": "1MB"}  # no room to spill to either
    monkeypatch.setattr(duckdb, "connect", lambda name, config: connect(name, config={**config, **small}))
    with pytest.raises(Exhausted, match="warehouse.memory_limit_mb"):
        warehouse.query(
            "SELECT one.a, COUNT(DISTINCT two.a) AS n FROM numbers AS one JOIN numbers AS two "
            "ON one.a = two.a GROUP BY one.a ORDER BY n, one.a"
        )


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_command_that_runs_out_ends_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("lead_scoring.cli.registry.pipeline", run_out)
    assert main(["registry", "list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
