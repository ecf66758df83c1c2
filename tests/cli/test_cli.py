"""The command line does what the DAGs do: from raw tables to a champion, scores and proof, with the promised exits."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lead_scoring.cli import main, parser
from lead_scoring.cli.operations import benchmarks
from tests.salesforce.conftest import Desk, score_rows

AS_OF = "2024-12-21"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A laptop's folders, as settings in the environment, with the sample loaded and released once."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAD_SCORING__STORAGE__MODELS", str(folder / "models"))
        patch.setenv("LEAD_SCORING__STORAGE__RUNS", str(folder / "runs"))
        patch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(folder / "warehouse"))
        patch.setenv("LEAD_SCORING__CALIBRATION__REPEATS", "3")
        patch.setenv("LEAD_SCORING__CALIBRATION__BOOTSTRAP", "100")
        patch.setenv("LEAD_SCORING__TRAINING__SEARCH_TRIALS", "1")
        assert main(["sample", "--out", str(folder / "sample"), "--load"]) == 0
        build = ["features", "build", "--source", str(folder / "sample"), "--as-of", AS_OF]
        assert main([*build, "--out", str(folder / "f.parquet"), "--rejects", str(folder / "r.parquet")]) == 0
        release = ["release", "--features", str(folder / "f.parquet"), "--as-of", AS_OF, "--promote"]
        assert main([*release, "--reason", "first"]) == 0
        yield folder


def said(capsys, *arguments: str) -> tuple[int, object, str]:
    """Exit status, the JSON on stdout, stderr."""
    capsys.readouterr()
    status = main([*arguments, "--json"])
    captured = capsys.readouterr()
    return status, json.loads(captured.out) if captured.out.strip() else None, captured.err


def commands(of, path=()):
    for action in of._subparsers._group_actions if of._subparsers else ():
        for name, child in action.choices.items():
            yield (*path, name), child
            yield from commands(child, (*path, name))


def test_every_command_explains_itself(capsys):
    seen = [" ".join(path) for path, _ in commands(parser())]
    expected = (
        "sample, features build, features audit, train, calibrate, release, registry list, registry show, "
        "registry history, registry promote, registry rollback, registry reject, registry archive, verify, "
        "score, sync, why, bench, doctor"
    )
    assert set(expected.split(", ")) <= set(seen)
    for path, _ in commands(parser()):
        with pytest.raises(SystemExit) as done:
            main([*path, "--help"])
        assert done.value.code == 0
        assert len(capsys.readouterr().out) > 60


def test_features_build_keeps_every_row_it_sets_aside(home):
    rejected = pq.read_table(home / "r.parquet")
    assert rejected.num_rows > 0
    assert all(rejected.column("reasons").to_pylist())


def test_the_registry_shows_the_champion_and_how_it_came_there(home, capsys):
    status, entries, _ = said(capsys, "registry", "list")
    assert status == 0
    assert [entry["status"] for entry in entries] == ["production"]
    version = entries[0]["version_id"]
    assert said(capsys, "registry", "show", version)[1]["version_id"] == version
    events = said(capsys, "registry", "history")[1]
    assert [event["kind"] for event in events] == ["register", "promote"]
    assert events[1]["reason"] == "first"


def test_the_history_for_people_names_the_champion_after_each_event_and_at_a_time(home, capsys):
    version = said(capsys, "registry", "list")[1][0]["version_id"]
    assert main(["registry", "history", "--at", "2999-01-01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[-1] == "why"
    assert "champion" in lines[0]
    assert lines[2].count(version) == 2
    assert lines[-1] == f"in production at 2999-01-01: {version}"
    assert main(["registry", "history", "--at", "2001-01-01"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "in production at 2001-01-01: none"


def test_a_models_folder_that_does_not_exist_is_no_empty_registry(home, capsys):
    status, _, error = said(capsys, "registry", "list", "--models", str(home / "modles"))
    assert (status, "modles does not exist" in error) == (2, True)


@pytest.mark.parametrize(("data", "words"), [(b"\xff", "byte 0 is not UTF-8"), (b"[" * 100_000, "nested too deeply")])
def test_bytes_on_stdin_that_are_no_lead_are_refused(home, capsys, monkeypatch, data, words):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    status, _, error = said(capsys, "score", "-")
    assert (status, words in error, error.count("\n")) == (2, True, 1)


def test_a_table_of_leads_is_scored_and_every_row_is_accounted_for(home, capsys):
    out = home / "scores.parquet"
    status, counts, _ = said(capsys, "score", "--batch", str(home / "f.parquet"), "--out", str(out), "--as-of", AS_OF)
    assert status == 0
    assert counts["in"] == counts["scored"] + counts["rejected"]
    scores = pq.read_table(out)
    assert scores.num_rows == counts["scored"] > 1000
    assert pq.read_table(home / "scores_rejected.parquet").num_rows == counts["rejected"]
    assert sorted(scores["rank"].to_pylist()) == list(range(1, scores.num_rows + 1))


def test_a_rep_can_tell_whom_to_call_first(home):
    """The sample's figures: less than 1 % of the best decile share their place in the ranking with another lead."""
    metadata = json.loads((home / "models" / "calibrated" / "calibration_metadata.json").read_text())
    tied = metadata["evaluation"]["tied_in_top_decile"]
    assert tied < 0.01
    (card,) = (home / "models" / "production").glob("model_card_v1-*.md")
    assert f"Tied within the top decile: {tied:.2%} of its leads" in card.read_text()


def test_one_lead_is_scored_from_json_with_the_documents_five_keys(home, capsys):
    version = said(capsys, "registry", "list")[1][0]["version_id"]
    names = json.loads((home / "models" / "production" / f"feature_names_{version}.json").read_text())
    status, result, _ = said(capsys, "score", json.dumps(dict.fromkeys(names, 1.0)))
    assert status == 0
    assert {"lead_score", "score_bucket", "action_recommended", "model_version", "uncalibrated_score"} <= set(result)


def test_a_package_verifies_and_the_damaged_copies_do_not_load(home, capsys):
    version = said(capsys, "registry", "list")[1][0]["version_id"]
    status, report, _ = said(capsys, "verify", version, "--fuzz", "20")
    assert status == 0
    assert report["version_id"] == version


def test_the_doctor_explains_why_the_documents_thresholds_are_out_of_reach(home, capsys):
    status, checks, _ = said(capsys, "doctor")
    assert status == 0
    found = {check["name"]: check for check in checks}
    assert "Warm needs 0.30; the highest reachable score is" in found["buckets absolute"]["message"]
    assert found["champion"]["status"] == "ok"


def test_a_release_is_judged_on_the_holdout_it_was_given(home, tmp_path, capsys):
    found = pq.read_table(home / "f.parquet")
    labelled = found.filter(pc.is_valid(found["target"]))
    learn, judge = labelled.slice(0, 6000), labelled.slice(6000)
    pq.write_table(learn, tmp_path / "learn.parquet")
    pq.write_table(judge, tmp_path / "judge.parquet")
    table = ["--features", str(tmp_path / "learn.parquet"), "--holdout", str(tmp_path / "judge.parquet")]
    status, made, _ = said(capsys, "release", *table, "--as-of", AS_OF, "--models", str(tmp_path / "models"))
    assert status == 0
    assert made["status"] == "staged"
    assert made["performance"]["baseline_rate"] == pytest.approx(pc.mean(judge["target"]).as_py())


def test_a_promotion_against_the_gate_is_told_apart_in_the_history(home, tmp_path, capsys, monkeypatch):
    release = ["release", "--features", str(home / "f.parquet"), "--as-of", AS_OF, "--models", str(tmp_path / "models")]
    assert said(capsys, *release, "--promote")[0] == 0
    monkeypatch.setenv("LEAD_SCORING__TRAINING__HOLDOUT_SHARE", "0.3")  # another model, no better
    status, _, error = said(capsys, *release, "--promote")
    assert status != 0
    assert "was not promoted and stays staged" in error
    assert said(capsys, *release, "--promote", "--force", "--reason", "the board wants it")[0] == 0
    history = said(capsys, "registry", "history", "--models", str(tmp_path / "models"))[1]
    first, forced = (event["details"]["gate"] for event in history if event["kind"] == "promote")
    assert (first["accepted"], first["forced"]) == (True, False)
    assert (forced["accepted"], forced["forced"]) == (False, True)
    assert forced["reasons"][0] in error


def test_a_holdout_that_was_learned_from_is_refused(home, tmp_path, capsys):
    table = str(home / "f.parquet")
    status, data, error = said(
        capsys, "release", "--features", table, "--holdout", table, "--as-of", AS_OF, "--models", str(tmp_path / "m")
    )
    assert (status, data) == (2, None)
    assert "holdout leads are in the training table too (by lead_id; lead 00Q" in error


def test_a_refreshed_intercept_keeps_the_policy_and_stops_on_findings(home, tmp_path, capsys):
    found = pq.read_table(home / "f.parquet")
    labelled = found.filter(pc.is_valid(found["target"]))
    upside_down = labelled.slice(6000)
    flipped = pc.subtract(pc.cast(1, upside_down["target"].type), upside_down["target"])
    upside_down = upside_down.set_column(upside_down.column_names.index("target"), "target", flipped)
    for name, table in {"learn": labelled.slice(0, 6000), "recent": labelled.slice(6000), "odd": upside_down}.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    place = ["--as-of", AS_OF, "--models", str(tmp_path / "models")]
    learn = ["--features", str(tmp_path / "learn.parquet")]
    status, made, _ = said(capsys, "release", *learn, *place, "--bucket-policy", "capacity")
    assert status == 0

    refresh = ["calibrate", "--intercept-only", made["version"], *place]
    status, _, error = said(capsys, *refresh, *learn)
    assert status == 2
    assert "was made of this very table" in error
    status, _, error = said(capsys, *refresh, "--features", str(tmp_path / "odd.parquet"))
    assert status == 1
    assert "leads above a cut must convert better" in error
    assert said(capsys, *refresh, "--features", str(tmp_path / "odd.parquet"), "--accept-findings", "a drill")[0] == 0

    status, new, _ = said(capsys, *refresh, "--features", str(tmp_path / "recent.parquet"))
    assert status == 0
    production = tmp_path / "models" / "production"
    manifest = json.loads((production / f"manifest_{new['version']}.json").read_text())
    assert manifest["bucket_policy"]["name"] == "capacity"
    assert manifest["split"]["parts"]["recent"]["leads"] == pytest.approx(labelled.num_rows - 6000, abs=50)
    card = (production / f"model_card_{new['version']}.md").read_text()
    assert "The leak tripwire was not run: nothing was trained for this version." in card


def test_scores_that_say_nothing_are_refused_after_the_tables_that_show_it(home, tmp_path, capsys):
    generator = np.random.default_rng(2)
    noise = {"raw_score": generator.random(1000), "target": (generator.random(1000) < 0.05).astype(int)}
    pq.write_table(pa.table(noise), tmp_path / "noise.parquet")
    status, tables, error = said(capsys, "calibrate", "--scores", str(tmp_path / "noise.parquet"))
    assert status == 1
    assert "no calibrator beats the constant base rate" in error
    assert {row["method"] for row in tables["in_sample"]["rows"]} == {"isotonic", "platt"}
    losses = {row["method"]: row["log_loss"] for row in tables["cross_fit"]["rows"]}
    assert min(losses, key=losses.__getitem__) == "constant"
    assert (tables["cross_fit"]["selected"], tables["cross_fit"]["resamples"]) == (None, 100)


def test_a_backfill_materializes_every_day_of_the_range(home, capsys):
    status, days, _ = said(capsys, "features", "backfill", "--from", "2024-12-19", "--to", "2024-12-20")
    assert status == 0
    assert [day["as_of"] for day in days] == ["2024-12-19", "2024-12-20"]


def test_the_audit_finds_the_planted_late_departures_only_when_recorded_at_is_ignored(home, capsys):
    audit = ["features", "audit", "--source", str(home / "sample"), "--as-of", "2024-06-30", "--later", AS_OF]
    assert said(capsys, *audit)[0] == 0
    status, _, error = said(capsys, *audit, "--ignore-recorded-at")
    assert status == 1
    assert "days_in_gap" in error


def test_the_sync_status_is_a_table_of_runs_and_of_what_one_could_not_write(home, tmp_path, monkeypatch, capsys):
    desk = Desk(tmp_path / "desk", leads=30)
    monkeypatch.setenv("LEAD_SCORING__SALESFORCE__ENDPOINT", desk.server.url)
    monkeypatch.setenv("LEAD_SCORING__SALESFORCE__WAIT_SECONDS", "0.01")
    monkeypatch.setenv("LEAD_SCORING__STORAGE__RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(tmp_path / "warehouse"))
    assert main(["sync", "status"]) == 0
    assert "no run yet" in capsys.readouterr().out
    desk.org.recycle(desk.ids[4])
    pq.write_table(score_rows(dict.fromkeys(desk.ids, 0.2)), tmp_path / "scores.parquet")
    status, report, error = said(capsys, "sync", "--scores", str(tmp_path / "scores.parquet"), "--as-of", AS_OF)
    assert (status, error) == (0, "")
    key = report["figures"]["run_key"]
    assert main(["sync", "status"]) == 0
    header, run, *rest = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["run_key", "operation", "as_of", "sequence", "changed", "accepted"]
    assert run.split()[:6] == [key, "sync", AS_OF, "1", "30", "29"]
    assert any(line.split() == ["buckets", "29", "Cold"] for line in rest)
    assert main(["sync", "status", "--run", key]) == 0
    assert desk.ids[4] in capsys.readouterr().out.splitlines()[1]
    assert [row["code"] for row in said(capsys, "sync", "status", "--run", key)[1]] == ["ENTITY_IS_DELETED"]
    desk.server.stop()


def test_every_benchmark_has_a_quick_size():
    for name in benchmarks():
        run = importlib.import_module(f"lab.bench.{name}").run
        assert inspect.signature(run).parameters["quick"].default is False, name


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["score"], 2, "score needs either"),
        (["score", "{}"], 2, ""),
        (["score", "not json"], 2, "is not JSON"),
        (["registry", "show", "v1-20240101-00000000"], 2, "v1-20240101-00000000"),
        (["registry", "promote", "v1-20240101-00000000", "--reason", "x"], 2, "v1-20240101-00000000"),
        (["registry", "promote", "v1-20240101-00000000", "--reason", ""], 2, "v1-20240101-00000000"),
        (["registry", "rollback", "--reason", "x"], 2, "no earlier champion"),
        (["registry", "rollback", "--from", "v1-20240101-00000000", "--reason", "x"], 2, "not v1-20240101-00000000"),
        (["registry", "reject", "v1-20240101-00000000", "--reason", "x"], 2, "v1-20240101-00000000"),
        (["registry", "archive", "v1-20240101-00000000", "--reason", "x"], 2, "v1-20240101-00000000"),
        (["registry", "history", "--at", "0900-01-01"], 2, "before the year 1000"),
        (["registry", "list", "--models", "s3://bucket/models"], 2, "it must be a folder or gs://bucket/path"),
        (["score", '{"a": 1, "a": 2}'], 2, "'a' given twice"),
        (["features", "build", "--source", "/nowhere", "--as-of", AS_OF, "--out", "x"], 2, "/nowhere"),
        (["release", "--features", "/nowhere.parquet", "--as-of", AS_OF], 2, "/nowhere.parquet"),
        (["release", "--features", "x", "--as-of", "2999-01-01"], 2, "as_of is 2999-01-01"),
        (["release", "--features", "x", "--as-of", "yesterday"], 2, "as_of is 'yesterday'"),
        (["release", "--features", "x", "--force", "--reason", "y"], 2, "--force needs --promote"),
        (["release", "--features", "x", "--promote", "--force", "--reason", " "], 2, "--force needs --reason"),
        (["calibrate"], 2, "--scores"),
        (["calibrate", "--selftest", "--sets", "0"], 2, "--sets is '0'; it must be a whole number from 1"),
        (["calibrate", "--selftest", "--sets", "nan"], 2, "--sets is 'nan'"),
        (["sample", "--out", "x", "--leads", "-5"], 2, "--leads is '-5'; it must be a whole number from 1"),
        (["sample", "--out", "x", "--leads", "1e6"], 2, "--leads is '1e6'"),
        (["sample", "--out", "x", "--seed", "-1"], 2, "--seed is '-1'; it must be a whole number from 0"),
        (["verify", "v1-20240101-00000000", "--fuzz", "-3"], 2, "--fuzz is '-3'"),
        (["sync", "--scores", "x", "--approve", "30%"], 2, "--approve is '30%'"),
        (["calibrate", "--scores", "/nowhere.csv"], 2, "/nowhere.csv"),
        (["sync"], 2, "--scores"),
        (["sync", "undo"], 2, "--run"),
        (["sync", "status", "--run", "20240101-00000000"], 2, "20240101-00000000"),
        (["why"], 2, "LEAD_ID"),
        (["why", "00Q000000000001EAA", "--on", "today"], 2, "--on is 'today'"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_2(home, capsys, arguments, status, words):
    found, data, error = said(capsys, *arguments)
    assert (found, data) == (status, None)
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"days_in_gap": [1.0]}, "current_firm_tenure_months"),
        ({"days_in_gap": []}, ""),
    ],
)
def test_a_feature_table_that_cannot_be_used_is_named(home, tmp_path, capsys, table, words):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(table), path)
    status, _, error = said(capsys, "train", "--features", str(path), "--as-of", AS_OF, "--out", str(tmp_path / "o"))
    assert status == 2
    assert "table.parquet" in error
    assert words in error
    assert not (tmp_path / "o").exists()


def test_every_door_refuses_twins_names_a_look_alike_and_takes_a_map(home, tmp_path, capsys, monkeypatch):
    features = pq.read_table(home / "f.parquet")
    scores = score_rows({f"00QSY000000000{number:04d}": 0.1 for number in range(3)})
    outcomes = pa.table({"raw_score": [0.1, 0.2] * 40, "target": [0, 1] * 40})
    leads = pq.read_table(home / "sample" / "leads.parquet")
    source = tmp_path / "source"
    shutil.copytree(home / "sample", source)
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(tmp_path / "warehouse"))
    file = tmp_path / "t.parquet"
    day, models, out = ["--as-of", AS_OF], ["--models", str(tmp_path / "m")], ["--out", str(tmp_path / "o.parquet")]
    doors = {
        "train": (["train", "--features", str(file), "--out", str(tmp_path / "o"), *day], features, "target"),
        "release": (["release", "--features", str(file), *models, *day], features, "lead_id"),
        "score": (["score", "--batch", str(file), *out, *day], features, "lead_id"),
        "calibrate": (["calibrate", "--scores", str(file)], outcomes, "target"),
        "sync": (["sync", "--scores", str(file), "--dry-run", *day], scores, "lead_id"),
        "load": (["load", "--source", str(source)], leads, "contacted_at"),
        "build": (["features", "build", "--source", str(source), *out, *day], leads, "lead_id"),
    }
    for door, (arguments, table, column) in doors.items():
        place = source / "leads.parquet" if door in {"load", "build"} else file
        pq.write_table(table.append_column(column.upper(), table[column]), place)
        status, _, error = said(capsys, *arguments)
        assert (status, f"{column!r} and {column.upper()!r}" in error, error.count("\n")) == (2, True, 1), (door, error)
        renamed = table.rename_columns([column.upper() if name == column else name for name in table.column_names])
        pq.write_table(renamed, place)
        status, _, error = said(capsys, *arguments)
        answer = f"--map {column.upper()}={column}"
        assert (status, answer in error, error.count("\n")) == (2, True, 1), (door, error)
        if door not in {"train", "release", "calibrate", "sync"}:  # these answer later, with figures
            status, found, error = said(capsys, *arguments, *answer.split())
            assert (status, error) == (0, ""), door
            assert door == "load" or found["maps"] == {column.upper(): column}


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "all"],
        ["sample", "--out", "nowhere"],
        ["calibrate", "--selftest"],
    ],
)
def test_without_lab_its_commands_say_what_is_missing(arguments, monkeypatch, capsys):
    """As in the production image, which has no lab/."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "lab":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lab", None)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "needs the folder lab/, which is not installed here" in captured.err
    assert captured.err.count("\n") == 1
