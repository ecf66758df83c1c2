"""The stage contract: one publish, whatever happens in between."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lead_scoring.errors import Conflict, NotFound
from lead_scoring.stage import Manifest, StageOutput, canonical_json, find_manifest, run_key, run_stage
from lead_scoring.storage import open_store

DAY = dt.date(2024, 12, 21)


def build_with(text: str):
    def build(work: Path) -> StageOutput:
        path = work / "out.txt"
        path.write_text(text)
        return StageOutput({"out.txt": path}, counts={"rows": len(text)}, figures={"text": text})

    return build


def test_a_retry_finds_the_finished_work_and_does_not_build_again(tmp_path):
    store = open_store(tmp_path)
    first = run_stage(store, "train", DAY, {"data": 1}, build_with("one"))
    again = run_stage(store, "train", DAY, {"data": 1}, build_with("another"))
    assert again == first
    assert first.fetch(store, "out.txt").read_text() == "one"


def test_other_inputs_have_another_key_and_do_not_touch_the_first(tmp_path):
    store = open_store(tmp_path)
    first = run_stage(store, "train", DAY, {"data": 1}, build_with("one"))
    second = run_stage(store, "train", DAY, {"data": 2}, build_with("two"))
    assert first.key != second.key
    assert first.fetch(store, "out.txt").read_text() == "one"


def test_the_key_is_the_date_and_a_digest_of_the_inputs():
    assert run_key(DAY, {"a": 1, "b": 2}) == run_key(DAY, {"b": 2, "a": 1})
    assert run_key(DAY, {}).startswith("20241221-")
    assert run_key(DAY, {}) != run_key(dt.date(2024, 12, 22), {})


def test_a_stage_that_fails_publishes_nothing(tmp_path):
    store = open_store(tmp_path)

    def fails(work: Path) -> StageOutput:
        (work / "out.txt").write_text("half")
        raise ValueError("the disk is on fire")

    with pytest.raises(ValueError, match="on fire"):
        run_stage(store, "train", DAY, {}, fails)
    assert find_manifest(store, "train", run_key(DAY, {"stage": "train"})) is None


def test_two_attempts_at_once_leave_one_winner_that_both_return(tmp_path):
    store = open_store(tmp_path)
    together = threading.Barrier(4)
    results: list[Manifest] = []

    def attempt(number: int) -> None:
        def build(work: Path) -> StageOutput:
            together.wait()  # all are past the look for a standing manifest
            return build_with(f"attempt {number}")(work)

        results.append(run_stage(store, "train", DAY, {}, build))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len({item.digest for item in results}) == 1
    results[0].fetch(store, "out.txt")


def test_a_retry_after_kill_publishes_once(tmp_path):
    """SIGKILL while the stage builds: no manifest; the retry builds it."""
    code = (
        "import datetime as dt, time\n"
        "from lead_scoring.stage import *\n"
        "from lead_scoring.storage import open_store\n"
        "def build(work):\n    (work / 'out.txt').write_text('half'); print('building', flush=True); time.sleep(60)\n"
        f"run_stage(open_store({str(tmp_path / 'runs')!r}), 'train', dt.date(2024, 12, 21), {{}}, build)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout.readline() == "building\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store = open_store(tmp_path / "runs")
    assert find_manifest(store, "train", run_key(DAY, {"stage": "train"})) is None
    made = run_stage(store, "train", DAY, {}, build_with("whole"))
    assert made.fetch(store, "out.txt").read_text() == "whole"


def test_a_file_that_was_changed_afterwards_is_refused_by_name(tmp_path):
    store = open_store(tmp_path)
    made = run_stage(store, "train", DAY, {}, build_with("one"))
    store.write(made.files["out.txt"].name, b"two")
    with pytest.raises(Conflict, match=r"out\.txt has SHA-256"):
        made.fetch(store, "out.txt")
    with pytest.raises(Conflict):
        run_stage(store, "train", DAY, {}, build_with("one"))


def test_a_file_that_was_never_published_is_named_with_those_that_were(tmp_path):
    made = run_stage(open_store(tmp_path), "train", DAY, {}, build_with("one"))
    with pytest.raises(NotFound, match=r"no file 'model.ubj'; it has \['out.txt'\]"):
        made.fetch(open_store(tmp_path), "model.ubj")


def test_a_manifest_survives_the_way_through_xcom(tmp_path):
    made = run_stage(open_store(tmp_path), "train", DAY, {"data": 1}, build_with("one"))
    assert Manifest.from_dict(made.to_dict()) == made


def test_canonical_json_refuses_what_json_cannot_hold():
    with pytest.raises(ValueError):
        canonical_json({"figure": float("nan")})
