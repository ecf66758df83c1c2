from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lead_scoring.salesforce import connect
from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.fields import canonical, encode, load_fields, unusable
from tests.salesforce.conftest import HOME, Desk, score_rows

NARRATIVE = next(item for item in load_fields(HOME / "include" / "config") if item.column == "narrative")
HOSTILE = st.text(st.sampled_from(list("ab,;\"'\r\n\t =+-#N/A\u00a0\u2028\x85\x00\x1fé漢😀")), max_size=12)


def with_narratives(desk: Desk, texts: list[str | None]) -> pa.Table:
    table = score_rows(dict.fromkeys(desk.ids[: len(texts)], 0.2))
    return table.append_column("narrative", pa.array(texts, pa.string()))


def in_org(desk: Desk, one: str) -> str | None:
    ((_, record),) = OrgClient(connect(desk.settings), desk.settings).read_leads([one], [NARRATIVE.name])
    assert record is not None
    return canonical(NARRATIVE, record[NARRATIVE.name])


def test_a_bare_carriage_return_does_not_cut_the_row(desk: Desk) -> None:
    output = desk.sync(with_narratives(desk, ["first\rsecond", "plain"]))
    assert output.counts["accepted"] == 2
    lead = desk.org.get(desk.ids[0])
    assert lead is not None
    assert lead[NARRATIVE.name] == "first\nsecond"
    assert (lead["Lead_Score_Timestamp__c"], lead["Lead_Score_Expires__c"]) == (
        "2024-12-21T00:00:00.000+0000", "2024-12-28",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["#N/A", " #N/A\n", "a\x00b", "a\x1fb"])
def test_text_that_the_org_would_read_as_something_else_is_set_aside(desk: Desk, text: str) -> None:
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 0.9})
    output = desk.sync(with_narratives(desk, [text, "plain", "plain"]))
    assert (output.counts["set_aside"], output.counts["accepted"]) == (1, 2)
    assert output.figures["problems"][0]["code"] == "BAD_VALUE"
    assert desk.org.history(desk.ids[0]) == []


def test_text_with_blanks_at_its_ends_is_sent_once(desk: Desk) -> None:
    table = with_narratives(desk, ["  spaced out \n", "\u00a0wide\u2003", "   "])
    assert desk.sync(table).counts["sent_now"] == 3
    assert in_org(desk, desk.ids[0]) == "spaced out"
    rows = {row["lead_id"]: json.loads(row["new_values"])[NARRATIVE.name] for row in desk.ledger()}
    assert [rows[one] for one in desk.ids[:3]] == [in_org(desk, one) for one in desk.ids[:3]]
    assert desk.undo(dry_run=True).counts["fields_left"] == 0


@given(texts=st.lists(HOSTILE, min_size=3, max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_text_arrives_whole_or_is_set_aside(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("desk")
    desk = Desk(folder, leads=12)
    try:
        desk.settings = type(desk.settings)(**{
            **vars(desk.settings),
            "max_rejected_share": 1.0,
            "max_rejected_rows": 100,
        })
        column = pa.array([*texts[:-1], "plain"], pa.string())  # a run that is set aside as a whole fails
        output = desk.sync(with_narratives(desk, column.to_pylist()))
        aside = unusable(NARRATIVE, column).to_pylist()
        assert output.counts["set_aside"] == sum(aside)
        assert output.counts["accepted"] == len(texts) - sum(aside)
        for one, wanted, left in zip(desk.ids, encode(NARRATIVE, column).to_pylist(), aside, strict=False):
            lead = desk.org.get(one)
            assert lead is not None
            assert in_org(desk, one) == wanted
            assert lead["Lead_Score_Expires__c"] == (None if left else "2024-12-28")  # the cell behind the text
    finally:
        desk.server.stop()
