"""A table that somebody brought gives the same scores from every format, and every door takes every format."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from lead_scoring.cli import main
from lead_scoring.errors import NotFound
from lead_scoring.lead_ids import complete_id
from lead_scoring.pipeline import Pipeline
from tests.scoring.small_day import START, small_pipeline
from tests.scoring.small_package import FEATURES, NAMES

SOURCES = {
    "leads": (
        "lead_id,advisor_crd,contacted_at,call_scheduled_at,recorded_at,notes\n"
        '00QSY0000000001,101,2024-10-01T12:00:00.000Z,,2024-10-01T12:00:00.000+0000,"a\nb"\n'
    ),
    "employment_history": (
        "advisor_crd;firm_crd;start_date;end_date;recorded_at\n101;1;2020-01-01;;2024-01-05 00:00:00 UTC\n"
    ),
    "firm_snapshots": '{"firm_crd": 1, "month": "2024-01-01", "total_aum": 5.5, "recorded_at": "2024-01-05"}\n',
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("brought")
    small_pipeline(folder)
    matrix = np.random.default_rng(4).integers(0, 2, (30, len(FEATURES))).astype(float)
    matrix[3, NAMES.index("firm_aum_pit")] = np.nan  # may be missing
    ids = [complete_id(f"00QSY{number:010d}") for number in range(30)]
    columns: dict[str, Any] = {"lead_id": ids, "contacted_at": [dt.datetime(2024, 5, 1, tzinfo=dt.UTC)] * 30}
    columns |= {item.name: pa.array(matrix[:, place], from_pandas=True) for place, item in enumerate(FEATURES)}
    table = pa.table({**columns, "target": [0, 1] * 15})
    pq.write_table(table, folder / "t.parquet")
    with (folder / "t.csv").open("wb") as stream:
        pacsv.write_csv(table, stream)
    rows = table.to_pylist()
    lines = [json.dumps({key: value for key, value in row.items() if value is not None}, default=str) for row in rows]
    (folder / "t.jsonl").write_text("\n".join(lines))
    (folder / "parts").mkdir()
    pq.write_table(table.slice(0, 10), folder / "parts" / "part-0.parquet")
    pq.write_table(table.slice(10), folder / "parts" / "part-1.parquet")
    return folder


def scores(lines: Pipeline, where: str, folder: Path) -> dict[str, float]:
    counts = lines.score_table(where, folder / "o.parquet", lines.champion(), START)
    assert counts == {"in": 30, "scored": 30, "rejected": 0}
    found = pq.read_table(folder / "o.parquet")
    return dict(zip(found["lead_id"].to_pylist(), found["margin"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "parts", "parts/part-*.parquet"])
def test_every_format_gives_the_same_scores(world: Path, tmp_path: Path, name: str) -> None:
    lines = small_pipeline(world)
    assert scores(lines, str(world / name), tmp_path) == scores(lines, str(world / "t.parquet"), tmp_path)


def test_a_warehouse_table_is_brought_by_its_name_and_of_its_day(world: Path, tmp_path: Path) -> None:
    lines = small_pipeline(world)
    table = pq.read_table(world / "t.parquet")
    for day in (START, START + dt.timedelta(days=1)):
        dated = table.append_column("as_of", pa.array([day] * 30, pa.date32()))
        pq.write_table(dated, tmp_path / "day.parquet")
        lines.warehouse.replace_partition("my_features", day.isoformat(), [tmp_path / "day.parquet"])
    assert scores(lines, "my_features", tmp_path) == scores(lines, str(world / "t.parquet"), tmp_path)
    made = lines.materialize_features(START, features="my_features")
    assert (made.counts["train_rows"], made.counts["rows_rejected"]) == (30, 0)
    assert lines.materialize_features(START, features="my_features") == made
    with pytest.raises(NotFound, match="file my_featurs does not exist, and the warehouse has no table of that name"):
        lines.materialize_features(START, features="my_featurs")


def test_the_run_keeps_the_map_and_another_map_is_another_run(world: Path, tmp_path: Path) -> None:
    lines = small_pipeline(world)
    text = (world / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace('"target"', '"Won"'))
    won = lines.materialize_features(START, features=str(tmp_path / "t.csv"), maps={"Won": "target"})
    assert won.inputs["maps"] == {"Won": "target"}
    assert won.counts["train_positives"] == 15
    blind = lines.materialize_features(START, features=str(tmp_path / "t.csv"))
    assert (blind.counts["train_rows"], blind.key != won.key) == (0, True)


def test_raw_tables_of_three_formats_load_together(world: Path, tmp_path: Path) -> None:
    for name, suffix in zip(SOURCES, ("csv", "csv", "jsonl"), strict=True):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / f"part-0.{suffix}").write_text(SOURCES[name])
    lines = small_pipeline(world)
    assert lines.load_source(tmp_path / "source") == dict.fromkeys(SOURCES, 1)
    made = lines.materialize_features(START)
    assert (made.counts["train_rows"], made.counts["rows_rejected"]) == (1, 0)


def test_scores_from_a_csv_file_are_synced_and_calibrated_as_those_from_parquet(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, place in {"MODELS": "models", "RUNS": "runs"}.items():
        monkeypatch.setenv(f"LEAD_SCORING__STORAGE__{name}", str(world / place))
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(tmp_path / "warehouse"))
    monkeypatch.setenv("LEAD_SCORING__CALIBRATION__REPEATS", "2")
    monkeypatch.setenv("LEAD_SCORING__CALIBRATION__BOOTSTRAP", "20")
    monkeypatch.setattr("lead_scoring.cli.sync.org", lambda lines: None)  # a dry run needs none
    scores(small_pipeline(world), str(world / "t.parquet"), tmp_path)
    found = pq.read_table(tmp_path / "o.parquet")
    with (tmp_path / "o.csv").open("wb") as stream:
        pacsv.write_csv(found, stream)
    random = np.random.default_rng(1)
    raw = random.uniform(0.01, 0.9, 400)
    outcomes = pa.table({"raw_score": raw, "target": (random.uniform(size=400) < raw).astype(int)})
    pq.write_table(outcomes, tmp_path / "outcomes.parquet")
    with (tmp_path / "outcomes.csv").open("wb") as stream:
        pacsv.write_csv(outcomes, stream, pacsv.WriteOptions(delimiter=";"))
    figures = {}
    for kind in ("parquet", "csv"):
        assert (
            main(["sync", "--scores", str(tmp_path / f"o.{kind}"), "--dry-run", "--as-of", str(START), "--json"]) == 0
        )
        synced = json.loads(capsys.readouterr().out)
        assert main(["calibrate", "--scores", str(tmp_path / f"outcomes.{kind}"), "--json"]) == 0
        figures[kind] = (synced["counts"], json.loads(capsys.readouterr().out)["cross_fit"])
    assert figures["csv"] == figures["parquet"]
    assert figures["csv"][0]["changed"] == 30


def test_a_folder_with_two_tables_of_one_name_is_refused_before_anything_is_loaded(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(tmp_path / "warehouse"))
    for name in SOURCES:
        (tmp_path / f"{name}.csv").write_text(SOURCES[name])
    shutil.copy(tmp_path / "leads.csv", tmp_path / "leads.txt")
    assert main(["load", "--source", str(tmp_path)]) == 2
    assert "leads.csv and leads.txt for one table" in capsys.readouterr().err
