from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.errors import BadInput
from lead_scoring.lead_ids import long_id, normal_ids
from lead_scoring.salesforce.bulk import to_csv
from lead_scoring.salesforce.fields import canonical, digest_of, digests, encode, fields_for, load_fields, unusable
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.values import RowError, coerce
from tests.salesforce.conftest import HOME

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


def test_a_mapping_without_metadata_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    text = "fields: [{field: Nothing__c, column: lead_score, compare: true}]"
    (tmp_path / "config" / "salesforce_fields.yaml").write_text(text)
    with pytest.raises(BadInput, match="field 'Nothing__c' has no metadata"):
        load_fields(tmp_path / "config")


def test_ids_of_15_characters_are_completed_and_wrong_ones_kept_for_the_report() -> None:
    assert long_id("00QVT00000AbCdE") == "00QVT00000AbCdE2AV"
    assert long_id("00QVT00000AbCdE2AX") is None
    assert long_id("003VT00000AbCdE") is None
    texts = ["00QVT00000AbCdE2AV", "00QVT00000AbCdE", None, "row-0000001"]
    assert normal_ids(texts) == ["00QVT00000AbCdE2AV", "00QVT00000AbCdE2AV", None, "row-0000001"]
