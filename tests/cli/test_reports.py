"""What people read of a sync, an undo, a score's way and a version: tables, no dictionaries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lead_scoring.cli import main
from lead_scoring.cli.common import table
from tests.salesforce.conftest import Desk, score_rows

AS_OF = "2024-12-21"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", leads=30)
    for name, value in {
        "SALESFORCE__ENDPOINT": made.server.url, "SALESFORCE__WAIT_SECONDS": 0.01,
        "SALESFORCE__MAX_BUCKET_CHANGE_SHARE": 0.01, "STORAGE__RUNS": tmp_path / "runs",
        "WAREHOUSE__FOLDER": tmp_path / "warehouse", "STORAGE__MODELS": tmp_path / "models",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LEAD_SCORING__{name}", str(value))
    monkeypatch.chdir(tmp_path)
    yield made
    made.server.stop()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    """The words of each line that a command prints for people. No line is a dictionary."""
    capsys.readouterr()
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "{" not in out
    assert max(map(len, out.splitlines())) < 200
    return [line.split() for line in out.splitlines()]


def test_sync_and_undo_and_their_dry_runs_are_tables(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    sync = ["sync", "--scores", "scores.parquet", "--as-of", AS_OF]
    desk.org.recycle(desk.ids[4])
    pq.write_table(score_rows(dict.fromkeys(desk.ids, 0.2)), "scores.parquet")
    first = run(capsys, *sync)
    assert ["accepted", "29"] in first
    assert any(line[:2] == ["1", "ENTITY_IS_DELETED"] and line[-1] == desk.ids[4] for line in first)

    pq.write_table(score_rows(dict.fromkeys(desk.ids, 0.2) | {desk.ids[0]: 0.9}), "scores.parquet")
    dry = run(capsys, *sync, "--dry-run")
    assert dry[0][:2] == ["Dry", "run:"]
    assert ["Cold", ">", "Very", "Hot", "1"] in dry
    assert [desk.ids[0], "0.2", "0.9", "Cold", "Very", "Hot"] in dry
    assert any("--approve" in line for line in dry)
    sent = run(capsys, *sync, "--approve", "1")
    key = next(line[1].rstrip(":") for line in sent if line and line[0] == "run")

    undo = run(capsys, "sync", "undo", "--run", key, "--dry-run")
    assert [desk.ids[0], "Lead_Score__c", "0.9000", "0.2000"] in undo
    assert ["Lead_Score__c", "1"] in undo
    desk.org.update(desk.ids[0], {"Lead_Action_Recommended__c": "mine"}, "page")
    left = run(capsys, "sync", "undo", "--run", key)
    assert any(line[:2] == [desk.ids[0], "Lead_Action_Recommended__c"] and "mine" in line for line in left)
    assert main(["sync", "status", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["runs"], list)


def test_why_says_what_agrees_and_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    from lead_scoring.cli.reports import show_why

    report: dict[str, Any] = {
        "lead_id": "00Q1", "as_of": AS_OF, "salesforce": {"lead_score": 0.2}, "clipped": "a",
        "score": {"lead_score": 0.2, "margin": -1.4, "run_key": "20241221-aa", "reasons": "many moves"},
        "features": {"a": 1.0, "b": None}, "recomputed": {"lead_score": 0.2, "margin": -1.4},
        "model": {"version": "v1", "data": {"train": {"key": "k"}}}, "run": {"sources": [1, 2], "parts": [{}, {}]},
        "differences": [],
    }  # fmt: skip
    show_why(report)
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["lead_score", "0.2", "0.2", "0.2"] in lines
    assert ["margin", "-", "-1.4", "-1.4"] in lines
    assert ["model.data.train.key", "k"] in lines
    assert ["run.parts", "2", "entries"] in lines
    assert "clipped to their range: a" in out
    assert "Everything agrees" in out
    show_why({**report, "differences": ["margin is 1"]})
    assert "DIFFERENT: margin is 1" in capsys.readouterr().out


def test_a_cell_is_data_and_never_markup_or_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    table([("[bold]hi[/bold]", long)], ("[red]a", "b"))
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["[red]a", "b"]
    assert line.split() == ["[bold]hi[/bold]", long]
