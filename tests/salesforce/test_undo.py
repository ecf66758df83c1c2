from __future__ import annotations

import datetime as dt
import random

import pytest

from lead_scoring.errors import BadInput, NotFound, Transient
from lead_scoring.salesforce.status import status
from tests.salesforce.conftest import DAY, HOME, Desk, score_rows


def test_undo_restores_what_the_run_changed(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids[:6], 0.2)))
    before = {lead["Id"]: {k: v for k, v in lead.items() if k.startswith("Lead_")} for lead in desk.org.leads()}
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.8)), run_key="later")
    output = desk.undo("later")
    after = {lead["Id"]: {k: v for k, v in lead.items() if k.startswith("Lead_")} for lead in desk.org.leads()}
    assert after == before
    assert (output.counts["accepted"], output.counts["left"]) == (12, 0)


def test_undo_leaves_what_somebody_edited_and_says_so(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.org.update(desk.ids[4], {"Lead_Score_Bucket__c": "Ask Ann"}, "page")
    output = desk.undo()
    lead = desk.org.get(desk.ids[4])
    assert lead is not None
    assert (lead["Lead_Score__c"], lead["Lead_Score_Bucket__c"]) == (None, "Ask Ann")
    assert output.counts["fields_left"] == 1
    assert output.figures["left"] == [
        {
            "lead_id": desk.ids[4],
            "field": "Lead_Score_Bucket__c",
            "ours": "Cold",
            "theirs": "Ask Ann",
            "why": "edited since",
        }
    ]


def test_undo_twice_changes_nothing_more(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.undo()
    before = desk.org.history()
    assert desk.undo().counts["changed"] == 0
    assert desk.org.history() == before


def test_undo_leaves_leads_that_a_later_run_wrote(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2) | {desk.ids[0]: 0.9}), run_key="later")
    output = desk.undo()
    assert desk.scores_in_org()[desk.ids[0]] == 0.9
    assert output.figures["left"][0]["why"] == "run later wrote the lead since"
    assert output.counts["accepted"] == 11


def test_an_undone_run_can_be_sent_and_undone_again(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.undo()
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    assert set(desk.scores_in_org().values()) == {0.2}
    desk.undo()
    assert set(desk.scores_in_org().values()) == {None}


def test_after_an_undo_the_day_before_can_be_sent_again(desk: Desk) -> None:
    eve = DAY - dt.timedelta(days=1)
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), run_key="wrong-day")
    desk.undo("wrong-day")
    assert desk.sync(score_rows(dict.fromkeys(desk.ids, 0.4), eve), run_key="eve").counts["accepted"] == 12
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), run_key="wrong-day")
    with pytest.raises(BadInput, match="older than those of 2024-12-21"):  # the run stands again
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.4), eve), run_key="eve")


def test_undo_of_an_unknown_run_names_the_remedy(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no run 'nothing'; `sync status` lists the runs"):
        desk.undo("nothing")


def test_undo_through_faults_and_retries_restores_every_lead_once(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.8)), run_key="later")
    before = len(desk.writes())
    generator = random.Random(3)
    for fault in ("drop_reply", "unavailable", "lock_rows", "abort_job", "unprocessed_rows", "lose_job"):
        desk.faults.set({fault: 1, "seed": generator.randrange(1000)})
    for _ in range(10):
        try:
            output = desk.undo("later")
            break
        except Transient:
            continue
    assert output.counts["left"] == 0
    assert sorted(desk.writes()[before:]) == [(one, 0.2) for one in desk.ids]
    assert {row["status"] for row in desk.ledger("undo-later")} == {"accepted"}


def test_the_next_sync_after_an_undo_starts_from_what_the_org_has(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.8)), run_key="later")
    desk.undo("later")
    assert desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), run_key="third").counts["unchanged"] == 12
    assert desk.sync(score_rows(dict.fromkeys(desk.ids, 0.8)), run_key="fourth").counts["accepted"] == 12


def test_a_dry_undo_says_what_it_would_do(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    before = desk.org.history()
    output = desk.undo(dry_run=True)
    assert (output.counts["changed"], output.counts["sent"]) == (12, 0)
    assert desk.org.history() == before


def test_a_dry_run_of_an_undo_shows_what_goes_back_and_changes_nothing(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2) | {desk.ids[3]: 0.8}), run_key="later")
    before = list(desk.org.leads())
    figures = desk.undo("later", dry_run=True).figures
    assert list(desk.org.leads()) == before
    assert figures["by_field"] == {
        "Lead_Action_Recommended__c": 1, "Lead_Score_Bucket__c": 1, "Lead_Score_Percentile__c": 1, "Lead_Score__c": 1
    }  # fmt: skip
    assert {"lead_id": desk.ids[3], "field": "Lead_Score__c", "from": "0.8000", "to": "0.2000"} in figures["examples"]


def test_a_dry_run_of_an_undo_names_few_leads_however_many_go_back(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    figures = desk.undo(dry_run=True).figures
    assert figures["by_field"]["Lead_Score__c"] == 12
    assert len({entry["lead_id"] for entry in figures["examples"]}) == 5


def test_an_edit_of_a_field_that_the_run_did_not_change_is_no_obstacle(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.25)), run_key="later")  # as cold as before
    desk.org.update(desk.ids[4], {"Lead_Score_Bucket__c": "Ask Ann"}, "page")
    output = desk.undo("later")
    assert (output.counts["accepted"], output.counts["fields_left"]) == (12, 0)
    lead = desk.org.get(desk.ids[4])
    assert lead is not None
    assert (lead["Lead_Score__c"], lead["Lead_Score_Bucket__c"]) == (0.2, "Ask Ann")


def test_the_run_to_undo_next_is_the_newest_that_was_not_undone(desk: Desk) -> None:
    def last() -> str | None:
        found = status(warehouse=desk.warehouse, state=desk.state, config_folder=HOME / "include" / "config")
        return None if found["last_run"] is None else str(found["last_run"])

    assert last() is None
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), run_key="first")
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.8)), run_key="second")
    assert last() == "second"
    desk.undo("second")
    assert last() == "first"
    assert desk.undo("first").counts["accepted"] == 12  # that the second run's undo wrote these leads is no obstacle
    assert set(desk.scores_in_org().values()) == {None}
    assert last() is None
