"""Nothing grows for ever, and nothing goes that somebody still needs."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.cli import main
from lead_scoring.pipeline import Pipeline
from lead_scoring.registry import Registry
from lead_scoring.retention import tidy_partitions
from lead_scoring.salesforce import ledger
from lead_scoring.scoring import STAGING_TABLES, drop_staging
from lead_scoring.settings import load_settings
from lead_scoring.stage import StageOutput, find_manifest, find_record, run_stage
from lead_scoring.storage.local import LocalStore
from lead_scoring.warehouse.definitions import TableDefinition
from tests.scoring.small_day import START, bytes_below, small_day, small_pipeline, small_shard

MONTHS_LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=60)


def age(folder: Path, days: int) -> None:
    """Let so many days pass: every file is that much older."""
    for path in folder.rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - days * 86_400
            os.utime(path, (then, then))


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return small_pipeline(tmp_path)


def entries(pipeline: Pipeline) -> set[str]:
    return {"/".join(name.split("/")[:2]) for name in pipeline.runs.list() if not name.startswith("records/")}


def test_a_run_past_its_end_goes_and_why_still_finds_it(pipeline: Pipeline, tmp_path: Path) -> None:
    published = small_day(pipeline, START, small_shard(tmp_path))
    features = published.figures["run_key"]
    found = entries(pipeline)
    now = dt.datetime.now(dt.UTC)
    assert pipeline.tidy(now)["runs"]["objects"] == 0
    looked = pipeline.tidy(MONTHS_LATER, dry_run=True)["runs"]
    assert looked["by_stage"] == {"batch_score": 1, "materialize_features": 1, "publish_scores": 1}
    assert entries(pipeline) == found
    freed = pipeline.tidy(MONTHS_LATER)["runs"]
    assert (freed["objects"], freed["bytes"]) == (looked["objects"], looked["bytes"])
    assert entries(pipeline) == set()
    assert find_manifest(pipeline.runs, "publish_scores", published.key) is None
    record = find_record(pipeline.runs, "materialize_features", features)
    assert record is not None
    assert record.inputs == {"source": 3}
    assert pipeline.why_all(published.key)["rows"] == 20
    assert small_day(pipeline, START, tmp_path / "leads.parquet").figures == published.figures  # made again


def test_what_the_champion_and_a_rollback_need_stays(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = tmp_path / "model.ubj"
    text.write_text("a model")
    keys = {
        name: run_stage(pipeline.runs, "train_model", START, {"of": name}, lambda work: StageOutput({"m": text})).key
        for name in ("v1", "v2", "v3")
    }
    made = {name: {"run": {"train_model": {"key": key, "digest": ""}, "counts": {}}} for name, key in keys.items()}
    monkeypatch.setattr(Pipeline, "details_of", lambda self, version: made[version])
    monkeypatch.setattr(Registry, "champion", lambda self: "v3")
    monkeypatch.setattr(Registry, "state", lambda self: type("State", (), {"previous_champion": lambda self: "v2"})())
    report = pipeline.tidy(MONTHS_LATER)["runs"]
    assert entries(pipeline) == {f"train_model/{keys[name]}" for name in ("v2", "v3")}
    assert set(report["kept"]) == entries(pipeline)
    assert "v2, which a rollback restores" in report["kept"][f"train_model/{keys['v2']}"]


def test_what_an_undo_or_an_interrupted_sync_needs_stays(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shard = small_shard(tmp_path)
    days = [small_day(pipeline, START + dt.timedelta(days=number), shard) for number in range(3)]
    state = {"last_run": days[0].key, "interrupted_run": f"undo-{days[1].key}"}
    monkeypatch.setattr(Pipeline, "sync_status", lambda self: state)
    pipeline.tidy(MONTHS_LATER)
    wanted = {f"publish_scores/{day.key}" for day in days[:2]}
    wanted |= {f"materialize_features/{day.figures['run_key']}" for day in days[:2]}
    assert entries(pipeline) == wanted


def test_a_tidy_that_is_killed_leaves_no_manifest_without_files(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_day(pipeline, START, small_shard(tmp_path))
    delete = LocalStore.delete
    for survived in range(12):
        left = [survived]

        def dies(self: LocalStore, name: str, left: list[int] = left) -> None:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            delete(self, name)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(LocalStore, "delete", dies)
            pipeline.tidy(MONTHS_LATER)
            raise KeyboardInterrupt
        for name in pipeline.runs.list():
            stage, key, file = name.split("/", 2)
            if file == "manifest.json":
                manifest = find_manifest(pipeline.runs, stage, key)
                assert manifest is not None
                manifest.fetch_all(pipeline.runs, "")
    pipeline.tidy(MONTHS_LATER)
    assert entries(pipeline) == set()


def test_partitions_end_before_the_newest_day_and_not_before_today(pipeline: Pipeline, tmp_path: Path) -> None:
    shard = small_shard(tmp_path)
    for number in (0, 50, 91):
        small_day(pipeline, START + dt.timedelta(days=number), shard)
    looked = pipeline.tidy(MONTHS_LATER, dry_run=True)["partitions"]
    assert {(item["table"], item["partition"]) for item in looked} >= {
        ("lead_features_rejected", "2024-12-21"), ("lead_scores_rejected", "2024-12-21"),
    }  # fmt: skip
    assert pipeline.tidy(MONTHS_LATER)["partitions"] == looked
    assert "2024-12-21" in pipeline.warehouse.partitions("lead_scores")
    assert "2024-12-21" not in pipeline.warehouse.partitions("lead_scores_rejected")
    assert pipeline.tidy(MONTHS_LATER)["partitions"] == []


def test_the_log_of_a_sync_ends_with_its_undoing_and_not_before_it(pipeline: Pipeline, tmp_path: Path) -> None:
    shard = small_shard(tmp_path)
    run, later = "20231116-0123456789abcdef", "20241221-0123456789abcdef"
    for name in (run, f"undo-{run}", later, "of-nobody"):
        pipeline.warehouse.replace_partition("numbers", name, [shard])
    log = TableDefinition("numbers", "run_key", 400, {})
    assert tidy_partitions(pipeline.warehouse, [log], needed={run, f"undo-{run}"}) == []
    dropped = tidy_partitions(pipeline.warehouse, [log])
    assert [item["partition"] for item in dropped] == [run, f"undo-{run}"]


def with_short_ends(folder: Path) -> Path:
    """A home of its own, whose tables keep 20 days of scores and features, and 7 of the rest."""
    home = load_settings(environment={}).home
    shutil.copytree(home / "include", folder / "include")
    for path in (folder / "include" / "sql").glob("*/schema.yaml"):
        text = re.sub("keep_days: 400", "keep_days: 20", path.read_text())
        path.write_text(re.sub("keep_days: 90", "keep_days: 7", text))
    return folder


def morning(pipeline: Pipeline, as_of: dt.date, work: Path) -> None:
    """What a day leaves behind: three entries of the runs store, its partitions, and the log of its sync."""
    small = work / "small.parquet"
    pq.write_table(pa.table({"lead_id": ["00Q000000000001AAA"]}), small)
    key = ""
    for stage in ("materialize_features", "batch_score", "publish_scores"):
        output = StageOutput({"small.parquet": small}, figures={"run_key": key})
        made = run_stage(pipeline.runs, stage, as_of, {}, lambda folder, output=output: output)
        key = key or made.key
    for table in ("lead_features_rejected", "lead_features", "lead_scores_rejected", "lead_scores"):
        pipeline.warehouse.replace_partition(table, as_of.isoformat(), [small])
    pipeline.warehouse.replace_partition(STAGING_TABLES[0], key, [small])
    drop_staging(pipeline.warehouse, key)
    row = {
        "run_key": made.key,
        "org_id": "00D000000000001AAA",
        "sequence": as_of.toordinal(),
        "as_of": as_of,
        "operation": "sync",
        "status": "accepted",
    }
    pq.write_table(pa.Table.from_pylist([{**row, "lead_id": "00Q000000000001AAA"}], schema=ledger.schema()), small)
    pipeline.warehouse.replace_partition(ledger.TABLE, made.key, [small])


def test_a_year_of_mornings_stays_flat_in_bytes_and_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 days, tidied every week: after two months nothing is larger than it was then."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a power cut is no part of this; it takes most of the time
    (tmp_path / "models").mkdir()  # no champion: what one needs is another test's
    pipeline = small_pipeline(tmp_path, home=with_short_ends(tmp_path / "home"), **{"storage.keep_runs_days": 10})
    sizes, files = [], []
    for number in range(400):
        morning(pipeline, START + dt.timedelta(days=number), tmp_path)
        if number % 7 == 6:
            age(tmp_path / "runs", 7)
            age(tmp_path / "warehouse", 7)
            pipeline.tidy(dt.datetime.now(dt.UTC))
            sizes.append(bytes_below(tmp_path / "runs") + bytes_below(tmp_path / "warehouse"))
            files.append(sum(1 for folder in ("runs", "warehouse") for _ in (tmp_path / folder).rglob("*")))
    assert len(sizes) == 57
    assert max(sizes[8:]) <= 1.02 * sizes[8]
    assert max(files[8:]) <= files[8]
    assert pipeline.sync_status()["last_run"] in pipeline.warehouse.partitions(ledger.TABLE)


def test_the_command_says_what_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_day(small_pipeline(tmp_path), START, small_shard(tmp_path))
    for name, place in {"RUNS": "runs", "MODELS": "models"}.items():
        monkeypatch.setenv(f"LEAD_SCORING__STORAGE__{name}", str(tmp_path / place))
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(tmp_path / "warehouse"))
    age(tmp_path / "runs", 60)
    assert main(["tidy", "--dry-run", "--json"]) == 0
    looked = json.loads(capsys.readouterr().out)
    assert looked["runs"]["by_stage"] == {"batch_score": 1, "materialize_features": 1, "publish_scores": 1}
    assert main(["tidy"]) == 0
    said = capsys.readouterr().out
    assert f"{looked['runs']['objects']} objects, {looked['runs']['bytes']:,} bytes removed" in said
    assert "1 of publish_scores" in said
