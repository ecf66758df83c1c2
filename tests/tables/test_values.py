"""What a column may hold: the table in docs/input.md, and values that programs write in their own way."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lead_scoring.settings import project_home
from lead_scoring.tables import Misfit, convert
from lead_scoring.tables.values import fits

MIDNIGHT = dt.datetime(2024, 10, 1, tzinfo=dt.UTC).replace(tzinfo=None)
EXAMPLES: dict[str, pa.Array] = {
    "bool": pa.array([True]),
    "int64": pa.array([1]),
    "uint8": pa.array([1], pa.uint8()),
    "float64": pa.array([1.0]),
    "float16": pa.array(np.array([1.0], np.float16)),
    "decimal128": pa.array([Decimal("1.00")]),
    "date32": pa.array([MIDNIGHT.date()]),
    "date64": pa.array([MIDNIGHT.date()], pa.date64()),
    "timestamp": pa.array([MIDNIGHT]),
    "timestamp with a zone": pa.array([MIDNIGHT], pa.timestamp("ns", "UTC")),
    "time64": pa.array([dt.time(1)]),
    "duration": pa.array([1], pa.duration("s")),
    "struct": pa.array([{"a": 1}]),
    "list": pa.array([[1]]),
    "dictionary of int64": pa.array([1]).dictionary_encode(),
    "null": pa.nulls(1),
}
TEXTS = {"lead_id": "00QVT00000AbCdE", "CRD": "CRD 1", "date": "2024-10-01", "time": "2024-10-01T10:00Z"}
KINDS = {"number": "number", "target": "flag", "lead_id": "lead_id", "CRD": "crd", "date": "day", "time": "time"}
TEXT_TYPES = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "dictionary of string": pa.dictionary(pa.int32(), pa.string()),
}


def documented() -> list[tuple[str, str, str]]:
    text = (project_home() / "docs" / "input.md").read_text(encoding="utf-8")
    lines = [line for line in text.partition("| stored as ")[2].splitlines()[1:] if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], kind, answer) for row in cells for kind, answer in zip(KINDS, row[1:], strict=True)]


def test_the_docs_list_every_type_that_is_tried_here() -> None:
    assert {stored for stored, _, _ in documented()} == set(EXAMPLES) | set(TEXT_TYPES)


@pytest.mark.parametrize(("stored", "kind", "answer"), documented())
def test_the_docs_say_what_a_column_takes(stored: str, kind: str, answer: str) -> None:
    values = pa.array([TEXTS.get(kind, "1")]).cast(TEXT_TYPES[stored]) if stored in TEXT_TYPES else EXAMPLES[stored]
    assert fits(values.type, KINDS[kind]) == (answer == "yes")
    if answer == "yes":
        assert len(convert(values, KINDS[kind])) == 1
    else:
        with pytest.raises(Misfit):
            convert(values, KINDS[kind])


def test_the_missing_spellings_of_the_docs_are_missing_in_text() -> None:
    text = (project_home() / "docs" / "input.md").read_text(encoding="utf-8")
    listed = re.search(r"Missing is empty, (.*?), in any case", text, re.DOTALL)
    assert listed
    spellings = ["", *re.findall(r"`([^`]+)`", listed[1])]
    assert len(spellings) == 10
    values = pa.array([*spellings, *(text.upper() for text in spellings), "  "])
    assert convert(values, "number", parse=True).null_count == len(values)


MOMENT = dt.datetime(2024, 10, 1, 12, tzinfo=dt.UTC)
TIMES = {
    "Salesforce, REST": "2024-10-01T12:00:00.000+0000",
    "Salesforce, Bulk": "2024-10-01T12:00:00.000Z",
    "BigQuery, CSV": "2024-10-01 12:00:00 UTC",
    "BigQuery, JSON": "2024-10-01 12:00:00.000000+00",
    "BigQuery, DATETIME": "2024-10-01T12:00:00",
    "pandas": "2024-10-01 12:00:00+00:00",
    "pandas, nanoseconds": "2024-10-01 12:00:00.000000000",
    "Spark, with a zone": "2024-10-01T14:00:00.000+02:00",
    "a half hour": "2024-10-01 17:30:00+0530",
    "west": "2024-10-01T07:00-05",
    "minutes only": " 2024-10-01 12:00 ",
}


@pytest.mark.parametrize("program", list(TIMES))
def test_the_same_moment_from_every_program_is_the_same_moment(program: str) -> None:
    assert convert(pa.array([TIMES[program]]), "time").to_pylist() == [MOMENT]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10/01/2024", "must be a time like"),
        ("01.10.2024 12:00", "must be a time like"),
        ("Oct 1, 2024", "must be a time like"),
        ("20241001", "a number, as Excel counts days"),
        ("45566", "a number, as Excel counts days"),
        ("45566.5", "a number, as Excel counts days"),
        ("1727784000000", "a number, as Excel counts days"),
        ("2024-02-30", "no time that there is"),
        ("2024-10-01T24:30", "no time that there is"),
        ("2024-10-01T12:00 EST", "must be a time like"),
        ("2024-10-01T12:00+99:00", "must be a time like"),
        ("0000-01-01", "beyond the years 1 to 9999"),
        ("9999-12-31T23:00-05:00", "beyond the years 1 to 9999"),
    ],
)
def test_a_text_that_is_no_one_moment_is_refused_with_its_value(text: str, words: str) -> None:
    with pytest.raises(Misfit, match=words) as refused:
        convert(pa.array(["2024-10-01", text]), "time")
    assert (refused.value.place, text in refused.value.problem) == (1, True)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_moment_of_any_unit_and_zone_is_the_same(unit: str, zone: str | None) -> None:
    values = pa.array([MOMENT if zone else MOMENT.replace(tzinfo=None), None], pa.timestamp(unit, zone))
    assert convert(values, "time").to_pylist() == [MOMENT, None]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("count", [2**62, -(2**62)])
def test_a_time_that_its_type_cannot_hold_is_an_error_and_never_another_century(unit: str, count: int) -> None:
    values = pa.array([0, count]).cast(pa.timestamp(unit))
    for kind in ("time", "day"):
        with pytest.raises(Misfit, match="outside the years 1 to 9999") as refused:
            convert(values, kind)
        assert refused.value.place == 1


def test_a_day_far_beyond_the_calendar_is_an_error() -> None:
    for kind in ("time", "day"):
        with pytest.raises(Misfit, match="outside the years 1 to 9999"):
            convert(pa.array([2**30], pa.int32()).cast(pa.date32()), kind)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2024-10-01"]),
        pa.array(["2024-10-01 00:00:00"]),
        pa.array(["2024-10-01T00:00:00.000Z"]),
        pa.array(["2024-10-01T00:00:00-05:00"]),  # midnight where it was written
        pa.array([MIDNIGHT], pa.timestamp("ns")),
        pa.array([MIDNIGHT.date()], pa.date64()),
        pa.array([dt.datetime(2024, 10, 1, 4, tzinfo=dt.UTC)], pa.timestamp("us", "America/New_York")),
    ],
)
def test_midnight_in_its_own_zone_is_the_date(values: pa.Array) -> None:
    assert convert(values, "day").to_pylist() == [dt.date(2024, 10, 1)]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([None, "2024-10-01T23:30:00Z"]),
        pa.array([None, MIDNIGHT + dt.timedelta(seconds=1)]),
        pa.array([None, dt.datetime(2024, 10, 1, tzinfo=dt.UTC)], pa.timestamp("us", "America/New_York")),
        pa.array([None, 1_727_740_800_001]).cast(pa.date64()),
    ],
)
def test_a_time_of_day_in_a_column_of_dates_is_refused_and_never_cut(values: pa.Array) -> None:
    with pytest.raises(Misfit, match="time of day") as refused:
        convert(values, "day")
    assert refused.value.place == 1


@pytest.mark.parametrize(
    "value", ["5812345", "5,812,345", "CRD 5812345", "crd#5812345", "CRD: 5,812,345", " 5812345.0 ", "0005812345"]
)
def test_spellings_of_a_crd_are_one_number(value: str) -> None:
    assert convert(pa.array([value, ""]), "crd").to_pylist() == [5812345, None]


@pytest.mark.parametrize("stored", [pa.int64(), pa.float64(), pa.float32(), pa.decimal128(21, 2), pa.uint32()])
def test_a_crd_of_any_number_type_is_the_number(stored: pa.DataType) -> None:
    for kind, expected in {"crd": 5812345, "crd_text": "5812345"}.items():
        assert convert(pa.array([5812345, None]).cast(stored), kind).to_pylist() == [expected, None]


@pytest.mark.parametrize(
    "value", ["58 12345", "5.81E6", "-5812345", "58,12345", "5812345.5", "CRD", "5812345/6", "12345678901", "٥٨١٢٣٤٥"]
)
def test_a_text_that_is_no_crd_is_refused_with_its_value(value: str) -> None:
    with pytest.raises(Misfit, match="not a CRD number") as refused:
        convert(pa.array(["1", value]), "crd")
    assert (refused.value.place, repr(value) in refused.value.problem) == (1, True)


@pytest.mark.parametrize("value", [5812345.5, float("inf"), 1e300])
def test_a_number_that_is_no_crd_is_refused_with_its_value(value: float) -> None:
    for kind in ("crd", "crd_text", "integer"):
        with pytest.raises(Misfit, match=re.escape(str(value))):
            convert(pa.array([1.0, value]), kind)


def test_both_lengths_of_a_lead_id_are_one_id() -> None:
    ids = ["00QVT00000AbCdE", " 00QVT00000AbCdE2AV", "row-1", None, "00QVT00000AbCdE2AX"]
    found = convert(pa.array(ids), "lead_id").to_pylist()
    assert found == ["00QVT00000AbCdE2AV", "00QVT00000AbCdE2AV", "row-1", None, "00QVT00000AbCdE2AX"]


@pytest.mark.parametrize("value", ["2,5", "1,234", "1,234.5", "1.234,5", "12%", "$5", "1_000", "0x10", "5 000", "yes"])
def test_a_number_that_programs_read_differently_is_refused_with_its_value(value: Any) -> None:
    with pytest.raises(Misfit) as refused:
        convert(pa.array(["1", value]), "number", parse=True)
    assert (refused.value.place, repr(value) in refused.value.problem) == (1, True)
    assert ("comma" in refused.value.problem) == ("," in value)
