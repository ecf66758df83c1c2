"""The stage contract: one publish, whatever happens in between."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lead_scoring import stage
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


INPUTS = some.dictionaries(
    some.sampled_from(["features", "version", "shard"]),
    some.none() | some.booleans() | some.integers(0, 3) | some.text(),
)


@given(INPUTS, INPUTS)
@settings(max_examples=60, deadline=None)
def test_a_manifest_is_never_reused_for_other_inputs_however_short_the_key(tmp_path_factory, one, other):
    store = open_store(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage, "KEY_DIGITS", 0)  # every run of the day has one key
        first = run_stage(store, "train", DAY, one, build_with("one"))
        if canonical_json(one) == canonical_json(other):
            assert run_stage(store, "train", DAY, other, build_with("another")) == first
        else:
            with pytest.raises(Conflict, match="was made from other inputs"):
                run_stage(store, "train", DAY, other, build_with("another"))


def test_a_manifest_of_other_inputs_is_refused_with_both(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "KEY_DIGITS", 0)
    store = open_store(tmp_path)
    run_stage(store, "batch_score", DAY, {"shard": "score-00000", "version": "a"}, build_with("one"))
    message = "shard = 'score-00000', this run has shard = 'score-00001'; move batch_score/20241221- out"
    with pytest.raises(Conflict, match=message):
        run_stage(store, "batch_score", DAY, {"shard": "score-00001", "version": "a"}, build_with("two"))


def test_the_slower_of_two_attempts_is_refused_the_winner_of_other_inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "KEY_DIGITS", 0)
    store = open_store(tmp_path)

    def overtaken(work: Path) -> StageOutput:
        run_stage(store, "train", DAY, {"data": 1}, build_with("one"))
        return build_with("two")(work)

    with pytest.raises(Conflict, match="data = 1, this run has data = 2"):
        run_stage(store, "train", DAY, {"data": 2}, overtaken)


def test_the_key_is_the_date_and_a_digest_of_the_inputs():
    assert run_key(DAY, {"a": 1, "b": 2}) == run_key(DAY, {"b": 2, "a": 1})
    assert re.fullmatch(r"20241221-[0-9a-f]{16}", run_key(DAY, {}))
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


def test_an_attempt_that_fails_after_another_has_finished_returns_its_manifest(tmp_path):
    store = open_store(tmp_path)

    def robbed(work: Path) -> StageOutput:
        run_stage(store, "publish_scores", DAY, {"data": 1}, build_with("one"))
        raise NotFound("the winner has dropped the staging partition")

    made = run_stage(store, "publish_scores", DAY, {"data": 1}, robbed)
    assert made.figures["text"] == "one"
