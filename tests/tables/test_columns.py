"""Which column is which: by its exact name or a map; never by its place, never by a likeness, never in silence."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lead_scoring.errors import BadInput
from lead_scoring.tables import Column, parse_maps, resolve

WANTED = [
    Column("days_in_gap", "number"),
    Column("tier_highly_mobile", "number", also=("tier highly mobile",)),
    Column("lead_id", "lead_id", required=False),
    Column("contacted_at", "time", required=False),
    Column("target", "flag", required=False),
]
FEATURES = ["days_in_gap", "tier highly mobile"]


def find(*names: str, maps: dict[str, str] | None = None, values: dict[str, list[Any]] | None = None) -> dict[str, str]:
    sample = None if values is None else lambda name: values.get(name, [])
    return resolve([*FEATURES, *names], WANTED, table="table t.csv", maps=maps, sample=sample)


def test_exact_names_are_found_wherever_they_stand_and_the_rest_is_left_alone() -> None:
    assert find("target", "notes", "", "") == {
        "days_in_gap": "days_in_gap",
        "tier_highly_mobile": "tier highly mobile",
        "target": "target",
    }


@pytest.mark.parametrize(
    "twins",
    [
        ("Target", "target"),
        ("target", "Target"),
        ("target ", "target"),
        ("Days_In_Gap",),
        ("Notes", "notes"),
        ("lead_id", "\ufefflead_id"),
        ("lead_id", "lead\u00a0_id"),
        ("STRASSE", "straße"),
    ],
)
def test_two_columns_that_differ_only_in_case_or_blanks_are_refused_and_both_named(twins: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="differ only in case or blanks") as refused:
        find(*twins)
    assert all(repr(name) in str(refused.value) for name in twins)


def test_one_of_two_is_chosen_by_leaving_the_other_out() -> None:
    assert find("Target", "target", maps={"Target": ""})["target"] == "target"
    assert find("Target", "target", maps={"target": "", "Target": "target"})["target"] == "Target"


def test_the_same_name_twice_and_two_names_of_one_column_are_refused() -> None:
    with pytest.raises(BadInput, match="'target' stands in the table twice"):
        find("target", "target")
    with pytest.raises(BadInput, match="two columns for 'tier_highly_mobile': 'tier highly mobile' and 'tier_highly"):
        find("tier_highly_mobile")
    with pytest.raises(BadInput, match="two columns for 'target': 'target' and 'won'"):
        find("target", "won", maps={"won": "target"})


@pytest.mark.parametrize("second", ["target.1", "target_1", "days_in_gap_2"])
def test_a_second_column_that_pandas_or_duckdb_renamed_is_named(second: str) -> None:
    with pytest.raises(BadInput, match=f"a second column .* that a program renamed.*--map {second}="):
        find("target", second)
    assert find("target", second, maps={second: ""})["target"] == "target"


@pytest.mark.parametrize(
    ("theirs", "ours", "values"),
    [
        ("contacted_date", "contacted_at", [dt.date(2024, 5, 1)]),
        ("Contacted At", "contacted_at", ["2024-05-01 10:00"]),
        ("stage_entered_contacting__c", "contacted_at", ["2024-05-01T10:00:00.000Z"]),
        ("contactedat", "contacted_at", ["05/01/2024"]),
        ("Id", "lead_id", ["00QVT00000AbCdE"]),
        ("LEAD_ID", "lead_id", ["00QVT00000AbCdE2AV"]),
        ("Lead_Id__c", "lead_id", ["00QVT00000AbCdE2AV"]),
        ("Converted", "target", [True, False]),
        ("IsConverted", "target", ["true"]),
        ("label", "target", [0, 1]),
        ("TARGET", "target", [1.0]),
        ("targte", "target", []),
    ],
)
def test_a_look_alike_of_an_optional_column_is_named_with_both_answers(
    theirs: str, ours: str, values: list[Any]
) -> None:
    if not values:  # nothing is in it, so nothing is lost with it
        assert ours not in find(theirs, values={theirs: values})
        return
    with pytest.raises(BadInput, match=f"no column '{ours}', but '{theirs}' looks like it") as refused:
        find(theirs, values={theirs: values})
    answer = f"{theirs}={ours}"
    assert f"--map '{answer}'" in str(refused.value) or f"--map {answer}" in str(refused.value)
    assert find(theirs, maps={theirs: ours})[ours] == theirs
    assert ours not in find(theirs, maps={theirs: ""})


@pytest.mark.parametrize(
    ("theirs", "values"),
    [
        ("Id", [1, 2, 3]),  # a row number is no Salesforce id
        ("id", ["A-1", "B-2"]),
        ("contacted", [True, False]),  # says whether, not when
        ("contacted_by", ["Ann"]),
        ("label", ["red", "blue"]),
        ("score", [0.3]),
        ("target_market", ["RIA"]),
        ("lead_owner", ["005VT00000AbCdE"]),
    ],
)
def test_a_chance_likeness_stops_nothing(theirs: str, values: list[Any]) -> None:
    assert theirs not in find(theirs, values={theirs: values}).values()


def test_every_missing_column_is_named_at_once_with_the_maps_that_may_mend_it() -> None:
    with pytest.raises(BadInput) as refused:
        resolve(["Days in Gap", "Tier"], WANTED, table="table t.csv", needs="set s needs 2")
    assert str(refused.value) == (
        "table t.csv has no column 'days_in_gap', 'tier_highly_mobile', but a name that looks like it: "
        "--map 'Days in Gap=days_in_gap'; set s needs 2; it has Days in Gap, Tier"
    )


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["contacted_date"], "is no map"),
        (["=target"], "is no map"),
        (["a=target", "a=lead_id"], "'a' twice"),
    ],
)
def test_a_map_that_is_none_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_maps(texts)


def test_a_map_of_what_is_not_there_or_to_what_nothing_reads_is_refused() -> None:
    assert parse_maps(["a b=target", "notes="]) == {"a b": "target", "notes": ""}
    with pytest.raises(BadInput, match="no column 'gone', which --map names"):
        find(maps={"gone": "target"})
    with pytest.raises(BadInput, match="nothing here reads a column 'targt'"):
        find("won", maps={"won": "targt"})


def test_a_name_that_would_forge_a_line_is_shown_on_one() -> None:
    with pytest.raises(BadInput) as refused:
        resolve(["days\nin_gap"], WANTED[:1], table="table t.csv")
    assert "\n" not in str(refused.value)
