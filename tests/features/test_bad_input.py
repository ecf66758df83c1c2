"""What is wrong with a source is named, in an error or in the rejected rows. Nothing is dropped without a word."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.catalog import Catalog, FeatureSet
from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.features import load_source
from lead_scoring.lead_ids import complete_id
from lead_scoring.settings import Settings
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from tests.features.history_oracle import Lead, Record, Snapshot, World

SEEN = dt.datetime(2024, 1, 5, tzinfo=dt.UTC)
CONTACT = dt.datetime(2024, 10, 1, 12, tzinfo=dt.UTC)
Change = Callable[[pa.Table], pa.Table]


def lead(number: int, **changes: Any) -> Lead:
    return replace(Lead(complete_id(f"00QSY{number:010d}"), 100 + number, CONTACT, None, CONTACT), **changes)


def world(count: int = 20) -> World:
    return World(
        [lead(number) for number in range(count)],
        [Record(100 + number, 1, dt.date(2020, 1, 1), None, SEEN) for number in range(count)],
        [Snapshot(1, dt.date(2023, 12, 1), 100.0, SEEN)],
    )


def write(folder: Path, made: World, changes: dict[str, Change] | None = None) -> Path:
    folder.mkdir()
    for name, table in made.tables().items():
        pq.write_table((changes or {}).get(name, lambda same: same)(table), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def warehouse(tmp_path: Path) -> EmbeddedWarehouse:
    return EmbeddedWarehouse(tmp_path / "warehouse")


def rejected(build: Any, warehouse: EmbeddedWarehouse, folder: Path, settings: Settings) -> list[dict[str, Any]]:
    load_source(warehouse, folder)
    output = build(warehouse, settings=replace(settings.features, max_rejected_share=0.5))
    assert output.counts["rows_in"] == output.counts["rows_out"] + output.counts["rows_rejected"]
    rows: list[dict[str, Any]] = pq.read_table(output.files["rejected.parquet"]).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lead_id": "00QSY0000000000ZZZ"}, "not an 18-character Lead id"),
        ({"advisor": 999_999}, "no job of the advisor is known"),
        ({"contacted": CONTACT, "recorded": CONTACT - dt.timedelta(days=1)}, "contacted_at lies after recorded_at"),
    ],
)
def test_a_bad_lead_is_set_aside_with_its_reason(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings, change: dict[str, Any], reason: str
) -> None:
    made = world()
    made = replace(made, leads=[*made.leads, lead(50, **{"advisor": 100, **change})])
    rows = rejected(build, warehouse, write(tmp_path / "s", made), settings)
    assert {row["source_table"] for row in rows} == {"leads"}
    assert all(reason in row["reasons"] for row in rows)
    assert len(rows) == 2  # a training row and a row to score


def test_a_duplicate_lead_a_600_year_tenure_an_unknown_firm_and_a_crd_with_letters(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings
) -> None:
    made = world()
    made = World(
        [*made.leads, lead(3, advisor=104), lead(60), lead(61), lead(62)],
        [
            *made.records,
            Record(160, 1, dt.date(1424, 1, 1), None, SEEN),
            Record(161, 7, dt.date(2020, 1, 1), None, SEEN),
            Record(162, 1, dt.date(2020, 1, 1), None, SEEN),
        ],
        made.snapshots,
    )

    def letters(table: pa.Table) -> pa.Table:
        crd = ["12x4" if text == "162" else text for text in table.column("advisor_crd").to_pylist()]
        return table.set_column(1, "advisor_crd", pa.array(crd))

    rows = rejected(build, warehouse, write(tmp_path / "s", made, {"leads": letters}), settings)
    reasons = {row["lead_id"]: row["reasons"] for row in rows}
    assert "duplicate lead" in reasons[lead(3).lead_id]
    assert "current_firm_tenure_months" in reasons[lead(60).lead_id]
    assert "industry_tenure_months" in reasons[lead(60).lead_id], "every reason is given"
    assert "unknown firm 7" in reasons[lead(61).lead_id]
    assert "advisor_crd 12x4 is not a number" in reasons[lead(62).lead_id]


def test_an_advisor_and_a_lead_are_known_however_they_are_written(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings
) -> None:
    """In SQL, as a warehouse's own table comes to it; load and library have the same rule (tests/tables)."""
    crds = ["101", "CRD 101", "crd#101", " 101.0 ", "0000000101", "CRD: 5,812,345", "58 12345", "5.81E6", "-101", "CRD"]
    made = world(0)
    made = World(
        [lead(number) for number in range(len(crds))],
        [Record(crd, 1, dt.date(2020, 1, 1), None, SEEN) for crd in (101, 5812345)],
        made.snapshots,
    )
    folder = write(tmp_path / "s", made, {"leads": lambda t: t.set_column(1, "advisor_crd", pa.array(crds))})
    rows = rejected(lambda *a, **o: build(*a, **_lenient(o)), warehouse, folder, settings)
    assert {row["lead_id"]: row["reasons"] for row in rows} == {
        lead(number).lead_id: f"advisor_crd {crds[number]} is not a number" for number in range(6, 10)
    }


def _lenient(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "settings": replace(options["settings"], max_rejected_share=0.9)}


@pytest.mark.parametrize("way", ["load", "warehouse"])
def test_an_export_that_ran_twice_counts_once_and_both_forms_of_a_lead_are_one(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings, way: str
) -> None:
    short = lead(3).lead_id[:15]
    made = world()
    leads = [*made.leads, lead(2), replace(lead(3), lead_id=short), lead(4, advisor=103, lead_id=lead(4).lead_id[:15])]
    folder = write(tmp_path / "s", replace(made, leads=leads))
    load_source(warehouse, folder)
    if way == "warehouse":
        warehouse.replace_partition("leads", "all", [folder / "leads.parquet"])  # as a view over the CRM gives them
    output = build(warehouse, settings=replace(settings.features, max_rejected_share=0.5))
    assert output.counts["train_rows"] == output.counts["score_rows"] == 19
    ids = pq.read_table(output.files["shards/score-00000.parquet"])["lead_id"].to_pylist()
    assert ids == sorted({lead(number).lead_id for number in range(20)} - {lead(4).lead_id})
    found = pq.read_table(output.files["rejected.parquet"]).to_pylist()
    assert {(row["lead_id"], "duplicate lead" in row["reasons"]) for row in found} == {(lead(4).lead_id, True)}


@pytest.mark.parametrize(
    "end", [dt.date(9999, 12, 31), dt.date(2262, 4, 11), dt.date(2099, 12, 31), dt.date(4712, 12, 31)]
)
def test_an_end_that_stands_for_none_is_a_job_that_goes_on(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, end: dt.date
) -> None:
    made = world()
    rows = {}
    for name, records in {"open": made.records, "end": [replace(item, end=end) for item in made.records]}.items():
        load_source(warehouse, write(tmp_path / name, replace(made, records=records)))
        output = build(warehouse)
        assert output.counts["rows_rejected"] == output.counts["source_records_rejected"] == 0
        rows[name] = pq.read_table(output.files["shards/score-00000.parquet"])
    assert rows["end"].equals(rows["open"])


@pytest.mark.parametrize(
    ("table", "column", "values", "words"),
    [
        ("employment_history", "start_date", [dt.datetime(2020, 1, 1, 17, tzinfo=dt.UTC)], "time of day.*row 1"),
        ("employment_history", "end_date", ["9999-12-31T17:00:00Z"], "time of day.*row 1"),
        ("employment_history", "end_date", [45566.0], "'end_date'.*FLOAT64.*must be a date"),
        ("firm_snapshots", "month", ["Jan 2024"], "'month'.*'Jan 2024'.*must be a date"),
        ("leads", "contacted_at", pa.array([2**62]).cast(pa.timestamp("us")), "outside the years 1 to 9999"),
        ("leads", "contacted_at", [1727784000], "'contacted_at'.*INT64.*must be a time"),
        ("employment_history", "advisor_crd", ["58 12345"], "'58 12345'.*not a CRD number.*row 1"),
        ("employment_history", "firm_crd", ["5.81E6"], "'5.81E6'.*not a CRD number.*row 1"),
        ("employment_history", "firm_crd", [1.5], "is 1.5; it must be a CRD number"),
    ],
)
def test_a_value_that_would_be_cut_or_moved_is_refused_with_its_row(
    warehouse: EmbeddedWarehouse, tmp_path: Path, table: str, column: str, values: Any, words: str
) -> None:
    def change(made: pa.Table) -> pa.Table:
        array = values if isinstance(values, pa.Array) else pa.array(values)
        first = made.slice(0, 1)
        return first.set_column(first.column_names.index(column), column, array)

    with pytest.raises(BadInput, match=words):
        load_source(warehouse, write(tmp_path / "s", world(), {table: change}))


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([Record(100, 2, dt.date(2022, 1, 1), dt.date(2021, 1, 1), SEEN)], "end_date is before start_date"),
        ([Record(100, 2, dt.date(2031, 1, 1), None, SEEN)], "start_date lies after recorded_at"),
        ([Record(100, 2, None, None, SEEN)], "start_date is missing"),
        (
            [Record(100, 2, dt.date(2020, 1, 1), end, SEEN) for end in (None, dt.date(2023, 1, 1))],
            "same recorded_at differ",
        ),
        ([Record(100, 2, dt.date(2020, 1, 1), None, SEEN)] * 2, "repeats another record"),
    ],
)
def test_a_bad_job_is_set_aside_and_the_lead_goes_on_without_it(
    build: Any,
    warehouse: EmbeddedWarehouse,
    tmp_path: Path,
    settings: Settings,
    records: list[Record],
    reason: str,
) -> None:
    made = world()
    made = replace(
        made,
        records=[*made.records, *records],
        snapshots=[*made.snapshots, Snapshot(2, dt.date(2023, 12, 1), 5.0, SEEN)],
    )
    rows = rejected(build, warehouse, write(tmp_path / "s", made), settings)
    assert {row["source_table"] for row in rows} == {"employment_history"}
    assert all(reason in row["reasons"] and "firm_crd=2" in row["record"] for row in rows)


def test_more_rejects_than_the_set_share_fail_the_task(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    made = world()
    made = replace(
        made, leads=[replace(item, lead_id="bad") if place % 2 else item for place, item in enumerate(made.leads)]
    )
    load_source(warehouse, write(tmp_path / "s", made))
    with pytest.raises(CheckFailed, match="max_rejected_share = 0.2.*not an 18-character"):
        build(warehouse)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("leads", lambda t: t.drop_columns(["advisor_crd"]), "no column 'advisor_crd'"),
        ("employment_history", lambda t: t.slice(0, 0), "has no rows"),
        (
            "employment_history",
            lambda t: t.set_column(1, "firm_crd", pa.array(["A12"] * t.num_rows)),
            "'firm_crd'.*employment_history.*A12",
        ),
        (
            "firm_snapshots",
            lambda t: t.set_column(2, "total_aum", pa.array([[1]] * t.num_rows)),
            "'total_aum'.*firm_snapshots",
        ),
        (
            "leads",
            lambda t: t.set_column(2, "contacted_at", pa.array(["soon"] * t.num_rows)),
            "'contacted_at'.*leads.*soon",
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_line(
    warehouse: EmbeddedWarehouse, tmp_path: Path, table: str, change: Change, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        load_source(warehouse, write(tmp_path / "s", world(), {table: change}))
    assert warehouse.tables() == [], "nothing is loaded when one table is bad"


def test_a_missing_table_and_a_broken_file_are_named(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    folder = write(tmp_path / "s", world())
    (folder / "firm_snapshots.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="not a Parquet file"):
        load_source(warehouse, folder)
    (folder / "firm_snapshots.parquet").unlink()
    with pytest.raises(NotFound, match="neither firm_snapshots nor Firm_historicals"):
        load_source(warehouse, folder)


def test_a_day_before_all_data_is_refused(build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    load_source(warehouse, write(tmp_path / "s", world()))
    with pytest.raises(BadInput, match="no lead recorded by 2001-01-01"):
        build(warehouse, as_of=dt.date(2001, 1, 1))


def test_without_recorded_at_only_features_that_do_not_need_it_are_computed(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, catalog: Catalog
) -> None:
    def undated(table: pa.Table) -> pa.Table:
        return table.drop_columns(["recorded_at"])

    changes = dict.fromkeys(("leads", "employment_history", "firm_snapshots"), undated)
    load_source(warehouse, write(tmp_path / "s", world(), changes))
    with pytest.raises(BadInput, match="recorded_at.*days_in_gap"):
        build(warehouse)
    output = build(warehouse, feature_set=catalog.feature_set("undated"))
    assert output.counts["train_rows"] == output.counts["score_rows"] == 20


def test_the_vendors_own_tables_give_the_same_undated_features(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, catalog: Catalog
) -> None:
    folder = tmp_path / "vendor"
    folder.mkdir()
    ids = [lead(number).lead_id for number in range(20)]
    stamp = pa.timestamp("us", tz="UTC")
    pq.write_table(
        pa.table({
            "Id": ids,
            "FA_CRD__c": [f"CRD {100 + number}" for number in range(20)],
            "stage_entered_contacting__c": pa.array([CONTACT] * 20, stamp),
            "Stage_Entered_Call_Scheduled__c": pa.array([None] * 19 + [CONTACT + dt.timedelta(days=3)], stamp),
            "Company": ["Synthetic"] * 20,
            "LeadSource": ["Event"] * 20,
            "CreatedDate": pa.array([SEEN] * 20, stamp),
        }),
        folder / "Lead.parquet",
    )
    pq.write_table(
        pa.table({
            "RIA_CONTACT_CRD_ID": [100 + number for number in range(20)],
            "PREVIOUS_REGISTRATION_COMPANY_CRD_ID": [1] * 20,
            "PREVIOUS_REGISTRATION_COMPANY_START_DATE": [dt.date(2020, 1, 1)] * 20,
            "PREVIOUS_REGISTRATION_COMPANY_END_DATE": pa.array([None] * 20, pa.date32()),
        }),
        folder / "contact_registered_employment_history.parquet",
    )
    pq.write_table(
        pa.table({"RIA_INVESTOR_CRD_ID": [1, 1], "YEAR": [2024, 2024], "MONTH": [1, 9], "TOTAL_AUM": [50.0, 100.0]}),
        folder / "Firm_historicals.parquet",
    )
    load_source(warehouse, folder)
    output = build(warehouse, feature_set=catalog.feature_set("undated"))
    rows = pq.read_table(output.files["shards/train-00000.parquet"]).to_pylist()
    assert [row["target"] for row in rows] == [0] * 19 + [1]
    assert rows[0]["current_firm_tenure_months"] == 57
    assert rows[0]["firm_aum_pit"] == 100.0
    assert rows[0]["aum_growth_since_jan2024_pct"] == 100.0


def test_a_feature_that_the_sql_does_not_compute_is_named(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, phase6: FeatureSet
) -> None:
    load_source(warehouse, write(tmp_path / "s", world()))
    brought = replace(phase6.features[0], name="nps_score", column="nps_score")
    wider = replace(phase6, name="own", features=(*phase6.features, brought))
    with pytest.raises(
        BadInput, match="feature set 'own' has .'nps_score'., which include/sql/lead_features/query.sql"
    ):
        build(warehouse, feature_set=wider)


def test_several_open_leads_of_an_advisor_are_counted_and_scored_once_if_so_set(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings
) -> None:
    made = world()
    later = CONTACT + dt.timedelta(days=40)
    twins = [lead(70, advisor=100, contacted=later, recorded=later), lead(71, advisor=100)]
    load_source(warehouse, write(tmp_path / "s", replace(made, leads=[*made.leads, *twins])))
    every = build(warehouse)
    assert every.counts["open_twins"] == 3
    assert every.counts["rows_rejected"] == 0
    newest = replace(settings.features, open_leads_of_an_advisor="newest")
    one = build(warehouse, settings=newest)
    assert (one.counts["open_twins"], one.counts["rows_rejected"]) == (3, 2)
    aside = pq.read_table(one.files["rejected.parquet"]).to_pylist()
    assert {row["lead_id"] for row in aside} == {lead(0).lead_id, lead(71).lead_id}
    assert all(row["scorable"] and "another open lead of this advisor is scored" in row["reasons"] for row in aside)
    scored = pq.read_table(one.files["shards/score-00000.parquet"])
    assert lead(70).lead_id in scored["lead_id"].to_pylist(), "the one that was contacted last"
    assert set(scored["advisor_crd"].to_pylist()) == {str(100 + number) for number in range(20)}


def test_a_recycled_lead_is_set_aside_and_counted(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings
) -> None:
    recycled = lead(80, advisor=100, called=CONTACT - dt.timedelta(days=200))
    made = world()
    rows = rejected(build, warehouse, write(tmp_path / "s", replace(made, leads=[*made.leads, recycled])), settings)
    assert [row["lead_id"] for row in rows] == [recycled.lead_id]
    assert "call_scheduled_at is before contacted_at" in rows[0]["reasons"]
    assert build(warehouse).counts["recycled"] == 1


@pytest.mark.parametrize("end", [dt.date(2024, 2, 1), dt.date(9999, 12, 31)])
def test_an_end_after_the_day_of_recording_is_none_yet(
    build: Any, warehouse: EmbeddedWarehouse, tmp_path: Path, settings: Settings, end: dt.date
) -> None:
    """An announced departure, or the vendor's word for "goes on": the job is open until a record says otherwise."""
    made = world()
    records = [replace(record, end=end) for record in made.records]
    output = build(warehouse_of(warehouse, write(tmp_path / "s", replace(made, records=records))))
    assert output.counts["rows_rejected"] == 0
    assert set(pq.read_table(output.files["shards/train-00000.parquet"])["days_in_gap"].to_pylist()) == {0.0}


def warehouse_of(warehouse: EmbeddedWarehouse, folder: Path) -> EmbeddedWarehouse:
    load_source(warehouse, folder)
    return warehouse
