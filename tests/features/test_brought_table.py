from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.features import bring
from lead_scoring.lead_ids import complete_id
from lead_scoring.settings import Settings, WarehouseSettings
from lead_scoring.stage import StageOutput
from lead_scoring.tables import open_table

AS_OF = dt.date(2024, 12, 21)


@pytest.fixture
def frame(phase6: FeatureSet) -> pd.DataFrame:
    random = np.random.default_rng(5)
    made = pd.DataFrame({name: random.integers(0, 2, 60).astype(float) for name in phase6.names})
    return made.assign(target=[0] * 54 + [1] * 6)


def test_a_brought_table_is_read_within_the_memory_of_the_settings(
    run: Any, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    connect = duckdb.connect

    def noting(name: str, config: dict[str, str]) -> Any:
        limits.append((config["memory_limit"], config["threads"]))
        return connect(name, config=config)

    monkeypatch.setattr(duckdb, "connect", noting)
    run(frame, limits=WarehouseSettings(memory_limit_mb=321, threads=1))
    assert set(limits) == {("321MB", "1")}


@pytest.fixture
def run(tmp_path: Path, settings: Settings, phase6: FeatureSet) -> Any:
    number = iter(range(100))

    def call(frame: pd.DataFrame, **options: Any) -> StageOutput:
        work = tmp_path / f"work-{next(number)}"
        work.mkdir()
        frame.to_parquet(work / "table.parquet")
        table = open_table(work / "table.parquet")
        return bring(table, as_of=AS_OF, feature_set=phase6, settings=settings.features, work=work, **options)

    return call


def test_rows_without_ids_are_numbered_in_the_order_of_the_file(run: Any, frame: pd.DataFrame) -> None:
    output = run(frame)
    rows = pq.read_table(output.files["shards/score-00000.parquet"])
    assert rows.column("lead_id").to_pylist()[:2] == ["row-0000001", "row-0000002"]
    assert output.figures["has_ids"] is False
    assert output.figures["dated"] is False
    assert output.counts["train_rows"] == output.counts["score_rows"] == 60
    assert output.counts["train_positives"] == 6
    train = pq.read_table(output.files["shards/train-00000.parquet"])
    assert train.column("target").null_count == 0
    assert rows.column("target").null_count == 60, "one row of each kind: the label stands in the training row"


def test_ids_and_contact_dates_are_used_when_there(run: Any, frame: pd.DataFrame) -> None:
    ids = [complete_id(f"00QSY{99 - number:010d}") for number in range(60)]
    contact = pd.to_datetime(["2024-05-01"] * 59 + ["2025-05-01"])
    output = run(frame.assign(lead_id=ids, contacted_at=contact))
    rows = pq.read_table(output.files["shards/score-00000.parquet"]).to_pylist()
    assert [row["lead_id"] for row in rows] == sorted(ids[:59])
    assert rows[0]["pit_date"] == dt.date(2024, 5, 1)
    assert output.figures["dated"] is True
    assert output.figures["rejected_by_reason"] == {"contact date lies after as_of": 1}


def test_dirty_rows_are_set_aside_with_every_reason(run: Any, frame: pd.DataFrame) -> None:
    frame.loc[0, ["industry_tenure_months", "days_in_gap"]] = [7860.0, -3.0]
    frame.loc[1, "pit_moves_3yr"] = np.nan
    frame.loc[2, "firm_aum_pit"] = np.nan
    frame.loc[3, "target"] = 2
    output = run(frame)
    rejected = pq.read_table(output.files["rejected.parquet"]).to_pylist()
    reasons = {row["lead_id"]: row["reasons"] for row in rejected}
    assert reasons["row-0000001"] == "days_in_gap -3 is below 0; industry_tenure_months 7860 is above 1800"
    assert reasons["row-0000002"] == "pit_moves_3yr is missing"
    assert "row-0000003" not in reasons, "missing stays missing where the catalog allows it"
    assert reasons["row-0000004"] == "target is 2, not 0 or 1"
    assert output.counts["rows_in"] == output.counts["rows_out"] + output.counts["rows_rejected"] == 60


def test_an_extreme_value_is_clipped_and_flagged_and_an_impossible_one_refused(run: Any, frame: pd.DataFrame) -> None:
    frame.loc[0, ["industry_tenure_months", "current_firm_tenure_months"]] = [730.0, 721.0]
    frame.loc[1, "industry_tenure_months"] = 720.0
    frame.loc[2, "industry_tenure_months"] = 24_082.0
    frame.loc[3, "industry_tenure_months"] = -1.0
    output = run(frame)
    rows = {row["lead_id"]: row for row in pq.read_table(output.files["shards/train-00000.parquet"]).to_pylist()}
    first = rows["row-0000001"]
    assert (first["industry_tenure_months"], first["current_firm_tenure_months"]) == (720.0, 720.0)
    assert first["clipped"] == "current_firm_tenure_months, industry_tenure_months"
    assert rows["row-0000002"]["clipped"] is None
    assert not {"row-0000003", "row-0000004"} & set(rows)
    assert output.figures["clipped_by_feature"] == {"current_firm_tenure_months": 1, "industry_tenure_months": 1}
    checked = pq.read_table(output.files["shards/train-00000.parquet"]).to_pandas()
    again = run(checked.drop(columns=["scorable", "pit_date", "lead_id"]))
    assert again.figures["clipped_by_feature"] == output.figures["clipped_by_feature"], "a checked table keeps its flag"


def test_a_table_that_cannot_be_used_is_one_clear_line(run: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column 'days_in_gap'"):
        run(frame.drop(columns="days_in_gap"))
    with pytest.raises(BadInput, match="'days_in_gap'.*STRING.*must be a number"):
        run(frame.assign(days_in_gap="many"))
    with pytest.raises(BadInput, match="no rows"):
        run(frame.iloc[:0])
    with pytest.raises(BadInput, match="'target'.*0, 1"):
        run(frame.assign(target="yes"))
    with pytest.raises(BadInput, match="'lead_id'"):
        run(frame.assign(lead_id=range(60)))
    with pytest.raises(CheckFailed, match="duplicate lead"):
        run(frame.assign(lead_id=complete_id("00QSY0000000001"), pit_moves_3yr=np.arange(60.0)))
    with pytest.raises(NotFound, match="does not exist"):
        open_table(tmp_path / "none.parquet")


def test_a_lead_exported_twice_counts_once_and_its_two_forms_are_one(run: Any, frame: pd.DataFrame) -> None:
    ids = [complete_id(f"00QSY{number:010d}") for number in range(58)]
    other = frame.assign(lead_id=[*ids, ids[0][:15], ids[1][:15]])
    other.loc[58, frame.columns] = other.loc[0, frame.columns]  # the same row, under the short id
    other.loc[59, "pit_moves_3yr"] = 7.0  # another row of the lead
    output = run(other)
    assert (output.counts["rows_repeated"], output.counts["rows_in"]) == (1, 59)
    assert output.figures["rejected_by_reason"] == {"duplicate lead": 2}
    assert pq.read_table(output.files["shards/score-00000.parquet"])["lead_id"].to_pylist() == sorted({*ids} - {ids[1]})


def test_rows_without_ids_are_never_taken_for_one_another(run: Any, frame: pd.DataFrame) -> None:
    assert run(pd.concat([frame, frame], ignore_index=True)).counts["rows_out"] == 120


@pytest.mark.parametrize("zero", ["1970-01-01", "1900-01-01", "1899-12-30", "1677-09-22"])
def test_what_a_program_writes_for_no_date_is_no_contact(run: Any, frame: pd.DataFrame, zero: str) -> None:
    output = run(frame.assign(contacted_at=pd.to_datetime([zero, *["2024-05-01"] * 59])))
    assert output.figures["rejected_by_reason"] == {"contact date lies before 1999-01-01": 1}
