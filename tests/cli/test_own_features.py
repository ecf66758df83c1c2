"""A team of another industry: from one CSV to a list that a rep can call from, in three commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from lead_scoring.cli import main
from lead_scoring.scoring import LeadScorer
from lead_scoring.scoring.http import describe, handle
from lead_scoring.settings import load_settings

AS_OF = "2024-12-21"


def bank(rows: int) -> pd.DataFrame:
    """Like the bank-marketing table: numbers, texts, missing cells, 999 for "never contacted", a note, a constant."""
    random = np.random.default_rng(5)
    job = random.choice(["admin.", "blue-collar", "student", "no"], rows, p=[0.4, 0.4, 0.15, 0.05])
    days = np.where(random.random(rows) < 0.9, 999, random.integers(0, 27, rows))
    rate = np.where(random.random(rows) < 0.03, np.nan, random.normal(2, 1.5, rows).round(2))
    odds = -2.4 + 1.4 * (job == "student") + 1.6 * (days < 999) - 0.5 * np.nan_to_num(rate, nan=2.0)
    return pd.DataFrame({
        "age": random.integers(18, 90, rows),
        "job": np.where(random.random(rows) < 0.02, "", job),
        "pdays": days,
        "emp.var.rate": rate,
        "note": [f"row {number}" for number in range(rows)],
        "constant": 1,
        "y": np.where(random.random(rows) < 1 / (1 + np.exp(-odds)), "yes", "no"),
    })


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own: the feature set is written into its config."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(load_settings().home / "include", folder / "include")
    bank(3000).to_csv(folder / "bank.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAD_SCORING_HOME", str(home))
    for name, value in {
        "TRAINING__SEARCH_TRIALS": "1",
        "TRAINING__BOOTSTRAP": "100",
        "CALIBRATION__REPEATS": "2",
    }.items():
        monkeypatch.setenv(f"LEAD_SCORING__{name}", value)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status = main([*arguments, "--json"])
    out, error = capsys.readouterr()
    assert status == 0, error
    return json.loads(out)


def test_three_commands_lead_from_one_csv_to_a_call_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(home / "bank.csv")
    drafted = said(capsys, "catalog", "infer", "--features", table, "--target", "y")
    features = drafted["features"]
    assert list(features) == ["age", "job", "pdays", "emp.var.rate"]
    assert set(drafted["skipped"]) == {"note", "constant"}
    assert features["job"]["categories"][-1] == "no", "texts that YAML would read as truth stay texts"
    assert (features["job"]["nullable"], features["age"]["nullable"]) == (True, False)
    assert features["pdays"]["missing_values"] == [999]
    assert features["pdays"]["maximum"] == 26
    assert features["emp.var.rate"]["column"] == "emp_var_rate"
    made = said(capsys, "release", "--features", table, "--feature-set", "bank", "--as-of", AS_OF, "--promote")
    assert made["status"] == "production"
    out = home / "list.parquet"
    counts = said(capsys, "score", "--batch", table, "--out", str(out), "--as-of", AS_OF)
    assert counts["scored"] == counts["in"] == 3000
    listed = pq.read_table(out).to_pandas()
    assert sorted(listed["rank"]) == list(range(1, 3001))
    first = listed.sort_values("rank").head(300)["lead_id"].str.removeprefix("row-").astype(int) - 1
    assert (bank(3000)["y"].iloc[first] == "yes").mean() > 2 * (bank(3000)["y"] == "yes").mean()

    # every door takes a lead as the table writes it, and gives the same bits
    scorer = LeadScorer(model_dir=str(home / "models" / "production"))
    lead = {"age": 30, "job": "student", "pdays": 999, "emp.var.rate": -1.8}
    one = scorer.score_lead(lead)
    assert one == scorer.score_lead({**lead, "job": features["job"]["categories"].index("student"), "pdays": None})
    assert handle(scorer, "POST", "/", {}, json.dumps(lead).encode())[1] == one
    frame = scorer.score_batch(pd.DataFrame([lead, {**lead, "job": None}]))
    assert frame["lead_score"][0] == one["lead_score"]
    assert scorer.score_lead({**lead, "age": 95})["clipped"] == ["age"]
    status, answer, _ = handle(scorer, "POST", "/", {}, json.dumps({**lead, "job": "pilot"}).encode())
    assert (status, "'pilot', which is none of its categories" in answer["error"]) == (422, True)
    template = {"components": {"schemas": {"Lead": {"properties": {}}}}}
    described = describe(template, scorer)["components"]["schemas"]["Lead"]["properties"]["job"]
    assert described["anyOf"][0]["enum"] == features["job"]["categories"]

    strange = bank(200).assign(job="pilot")
    strange["job"] = np.where(np.arange(200) < 10, "pilot", "student")
    strange.to_csv(home / "strange.csv", index=False)
    counts = said(capsys, "score", "--batch", str(home / "strange.csv"), "--out", str(out), "--as-of", AS_OF)
    assert (counts["scored"], counts["rejected"]) == (190, 10)


def test_what_cannot_be_drafted_is_one_line_with_the_remedy(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(home / "bank.csv")
    for arguments, words in (
        (["--target", "z", "--name", "other"], "has no column 'z'"),
        (["--target", "job", "--name", "other"], "it needs two"),
        (["--target", "age", "--name", "other"], "0 and 1, or two texts"),
        (["--target", "y", "--name", "Bank 2"], "small letters"),
        (["--target", "y", "--name", "phase6"], "in the catalog already"),
        (["--target", "y", "--name", "other", "--positive", "maybe"], "is one"),
    ):
        assert main(["catalog", "infer", "--features", table, *arguments]) == 2
        assert words in capsys.readouterr().err
    out = tmp_path / "draft.yaml"
    assert main(["catalog", "infer", "--features", table, "--target", "y", "--out", str(out)]) == 0
    assert yaml.safe_load(out.read_text())["target"] == {"column": "y", "positive": "yes"}
    assert main(["catalog", "infer", "--features", table, "--target", "y", "--out", str(out)]) == 2
    assert "people may have corrected it" in capsys.readouterr().err
