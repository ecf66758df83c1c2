from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.cli import main
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.lead_ids import long_id, normal_ids
from lead_scoring.salesforce import connect, shown_of
from lead_scoring.salesforce.bulk import to_csv
from lead_scoring.salesforce.fields import canonical, digest_of, digests, encode, fields_for, load_fields, unusable
from lead_scoring.salesforce.metadata import metadata_files, write_metadata
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.values import RowError, coerce
from tests.salesforce.conftest import HOME, Desk, score_rows

FIELDS = {field.name: field for field in load_fields(HOME / "include" / "config")}
ORG_FIELDS = read_lead_fields(HOME / "include" / "salesforce")


@settings(deadline=None)
@given(st.floats(min_value=-9.9999, max_value=9.9999))
def test_a_number_reads_back_from_the_org_as_it_was_sent(number: float) -> None:
    field = FIELDS["Lead_Score__c"]
    (sent,) = encode(field, pa.array([number])).to_pylist()
    assert abs(float(sent) - number) <= 0.00005001
    assert canonical(field, coerce(ORG_FIELDS[field.name], sent)) == sent


@settings(deadline=None)
@given(st.text(max_size=255))
def test_a_text_reads_back_from_the_org_as_it_was_sent(text: str) -> None:
    field = FIELDS["Lead_Score_Bucket__c"]
    (sent,) = encode(field, pa.array([text])).to_pylist()
    assert canonical(field, coerce(ORG_FIELDS[field.name], sent)) == sent


@settings(deadline=None)
@given(st.dates(min_value=dt.date(1900, 1, 1), max_value=dt.date(2200, 1, 1)))
def test_days_read_back_from_the_org_as_they_were_sent(day: dt.date) -> None:
    for name in ("Lead_Score_Timestamp__c", "Lead_Score_Expires__c"):
        field = FIELDS[name]
        (sent,) = encode(field, pa.array([day], pa.date32())).to_pylist()
        assert canonical(field, coerce(ORG_FIELDS[name], sent)) == sent


def test_numbers_that_cannot_be_written_are_found() -> None:
    values = pa.array([0.5, float("nan"), float("inf"), 1e300, None])
    assert unusable(FIELDS["Lead_Score__c"], values).to_pylist() == [False, True, True, True, False]
    assert encode(FIELDS["Lead_Score__c"], values).to_pylist() == ["0.5000", None, None, None, None]


def test_the_org_refuses_what_its_metadata_does_not_hold() -> None:
    with pytest.raises(RowError) as caught:
        coerce(ORG_FIELDS["Lead_Score__c"], "10")
    assert caught.value.code == "NUMBER_OUTSIDE_VALID_RANGE"


def test_one_row_and_whole_columns_have_the_same_digest() -> None:
    fields = [FIELDS["Lead_Score__c"], FIELDS["Lead_Score_Bucket__c"], FIELDS["Lead_Score_Timestamp__c"]]
    columns = {
        "Lead_Score__c": pa.array(["0.1000", None], pa.string()),
        "Lead_Score_Bucket__c": pa.array(["Hot", ""], pa.string()),
        "Lead_Score_Timestamp__c": pa.array(["2024-12-21T00:00:00Z", None], pa.string()),
    }
    rows = [
        dict(zip(columns, values, strict=True))
        for values in zip(*(c.to_pylist() for c in columns.values()), strict=True)
    ]
    assert digests(fields, columns) == [digest_of(fields, row) for row in rows]
    later = {**rows[0], "Lead_Score_Timestamp__c": "2024-12-22T00:00:00Z"}
    assert digest_of(fields, later) == digest_of(fields, rows[0])  # another day is no reason to write


def test_an_upload_clears_leaves_alone_and_quotes() -> None:
    rows = [("a", {"x": None, "y": 'say "hi",\nthere'}), ("b", {"y": "z"})]
    assert to_csv(["x", "y"], rows) == b'Id,x,y\na,#N/A,"say ""hi"",\nthere"\nb,,"z"\n'


def test_a_missing_column_is_named_unless_it_is_optional() -> None:
    columns = [field.column for field in FIELDS.values() if not field.optional]
    assert {field.column for field in fields_for(tuple(FIELDS.values()), columns)} == set(columns)
    with pytest.raises(BadInput, match="scores have no column 'percentile' for Lead_Score_Percentile__c"):
        fields_for(tuple(FIELDS.values()), [name for name in columns if name != "percentile"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{field: A__c, column: a, compare: true, help: x}", "must have .*'type'"),
        ("{field: A__c, column: a, compare: true, help: x, type: Date, decimals: 3}", "may have"),
        ("{field: A__c, column: a, compare: true, help: x, type: Email}", "is of type 'Email'; it must be Text"),
        ("{field: A__c, column: a, compare: true, help: x, type: Text}", "is of type 'Text'; it must be Text.255"),
        ('{field: A__c, column: a, compare: true, help: x, type: "Date(3)"}', "is of type 'Date.3.'; it must be"),
        ("{field: A__c, column: a, compare: true, help: x, type: Picklist}", "only a Picklist has some"),
        ("{field: A__c, column: a, compare: true, help: x, type: Date, values: [a]}", "only a Picklist has some"),
        ('{field: A__c, column: a, compare: true, help: x, type: "Number(9,0)", exact_to: 5}', "with compare: false"),
        ('{field: A__c, column: a, compare: false, help: x, type: "Number(9,2)", exact_to: 5}', "a whole number"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "salesforce_fields.yaml").write_text(f"fields: [{entry}]")
    with pytest.raises(BadInput, match=message):
        load_fields(tmp_path)


def test_the_committed_metadata_is_what_the_mapping_says() -> None:
    root = HOME / "include" / "salesforce" / "force-app"
    files = metadata_files(tuple(FIELDS.values()))
    assert {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.xml")} == files, (
        "run `make settings`"
    )


def test_the_metadata_is_written_beside_a_projects_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "force-app" / "objects" / "Lead" / "fields" / "Own__c.field-meta.xml"
    own.parent.mkdir(parents=True)
    own.write_text("<own/>")
    assert main(["salesforce", "metadata", "--out", str(tmp_path)]) == 0
    assert f"{len(FIELDS) + 1} files written" in capsys.readouterr().out
    assert own.read_text() == "<own/>"
    assert len(list(tmp_path.rglob("*.xml"))) == len(FIELDS) + 2


OTHERS = """
fields:
  - {field: Lead_Score__c, column: lead_score, type: "Number(5,4)", compare: true, help: score}
  - {field: Lead_Score_Bucket__c, column: score_bucket, type: Picklist, values: [Very Hot, Hot, Warm, Cold],
     compare: true, help: bucket}
  - {field: Lead_Score_Percentile__c, column: percentile, type: "Number(7,2)", compare: true, help: percentile}
  - {field: Worth_A_Call__c, column: worth_a_call, type: Checkbox, compare: true, help: whether to call}
  - {field: Call_Until__c, column: expires_on, type: Date, compare: true, help: when to call}
  - {field: Scored_At__c, column: as_of, type: DateTime, compare: false, help: when it was scored}
"""


@pytest.fixture
def other_fields(tmp_path: Path) -> Iterator[Desk]:
    """A desk of a team with a mapping of its own: another scale, a picklist, a checkbox, a date."""
    config = tmp_path / "home" / "include" / "config"
    config.mkdir(parents=True)
    (config / "salesforce_fields.yaml").write_text(OTHERS)
    (config.parent / "sql").symlink_to(HOME / "include" / "sql")
    write_metadata(load_fields(config), config.parent / "salesforce")
    made = Desk(tmp_path / "desk", leads=4, home=tmp_path / "home")
    yield made
    made.server.stop()


def others(desk: Desk, score: float, worth: list[bool | None]) -> pa.Table:
    table = score_rows(dict.fromkeys(desk.ids, score))
    return table.append_column("worth_a_call", pa.array(worth, pa.bool_()))


def test_every_type_of_field_goes_through_sync_why_and_undo(other_fields: Desk) -> None:
    desk = other_fields
    desk.sync(others(desk, 0.12345, [True, False, None, True]))
    leads = {lead["Id"]: lead for lead in desk.org.leads()}
    first, third = leads[desk.ids[0]], leads[desk.ids[2]]
    assert (first["Worth_A_Call__c"], third["Worth_A_Call__c"]) == (True, False)
    assert (first["Lead_Score_Percentile__c"], first["Lead_Score_Bucket__c"]) == (12.35, "Cold")
    assert first["Call_Until__c"] == "2024-12-28"
    again = others(desk, 0.12345, [True, False, None, True])
    assert desk.sync(again, "20241221-bbbbbbbb").counts["unchanged"] == 4

    for number, row in enumerate(again.to_pylist()):
        shown = shown_of(connect(desk.settings), row, desk.settings, desk.config_folder)
        assert {name for name, (_, same) in shown.items() if not same} == set(), number
    desk.org.update(desk.ids[0], {"Worth_A_Call__c": False, "Lead_Score_Percentile__c": 12.34}, "a person")
    shown = shown_of(connect(desk.settings), again.to_pylist()[0], desk.settings, desk.config_folder)
    assert {name for name, (_, same) in shown.items() if not same} == {"worth_a_call", "percentile"}

    desk.sync(others(desk, 0.8, [False, True, True, True]), "20241221-cccccccc")
    assert {lead["Lead_Score_Bucket__c"] for lead in desk.org.leads()} == {"Very Hot"}
    desk.undo("20241221-cccccccc")
    back = {lead["Id"]: lead for lead in desk.org.leads()}
    assert [back[one]["Worth_A_Call__c"] for one in desk.ids] == [
        False,
        False,
        False,
        True,
    ]  # the first as a person left it
    assert {lead["Lead_Score_Bucket__c"] for lead in back.values()} == {"Cold"}


def test_a_value_that_the_picklist_lacks_is_set_aside(other_fields: Desk) -> None:
    desk = other_fields
    table = others(desk, 0.1, [True] * 4)
    buckets = pa.array(["Cold", "Cold", "Cold", "Lukewarm"])
    table = table.set_column(table.column_names.index("score_bucket"), "score_bucket", buckets)
    with pytest.raises(CheckFailed, match="1 x BAD_VALUE"):
        desk.sync(table)
    (row,) = (row for row in desk.ledger() if row["status"] == "set_aside")
    assert "the value for Lead_Score_Bucket__c" in row["message"]


def test_an_org_whose_picklist_lacks_a_value_is_not_ready(other_fields: Desk) -> None:
    desk = other_fields
    desk.org.fields["Lead_Score_Bucket__c"] = dataclasses.replace(
        desk.org.fields["Lead_Score_Bucket__c"], values=("Hot", "Warm", "Cold")
    )
    with pytest.raises(BadInput, match="Lead_Score_Bucket__c lacks the value 'Very Hot', it must offer"):
        desk.sync(others(desk, 0.1, [True] * 4))


def test_ids_of_15_characters_are_completed_and_wrong_ones_kept_for_the_report() -> None:
    assert long_id("00QVT00000AbCdE") == "00QVT00000AbCdE2AV"
    assert long_id("00QVT00000AbCdE2AX") is None
    assert long_id("003VT00000AbCdE") is None
    texts = ["00QVT00000AbCdE2AV", "00QVT00000AbCdE", None, "row-0000001"]
    assert normal_ids(texts) == ["00QVT00000AbCdE2AV", "00QVT00000AbCdE2AV", None, "row-0000001"]
