from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pytest

from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.salesforce.ledger import CLOSED_CODES
from lead_scoring.salesforce.status import status
from tests.salesforce.conftest import DAY, HOME, Desk, lead_id, score_rows


def test_the_org_has_every_score_after_a_sync(desk: Desk) -> None:
    output = desk.sync(score_rows({one: 0.1 * number for number, one in enumerate(desk.ids[:9])}))
    assert {one: score for one, score in desk.scores_in_org().items() if score is not None} == {
        one: round(0.1 * number, 4) for number, one in enumerate(desk.ids[:9])
    }
    assert output.counts["accepted"] == output.counts["changed"] == output.counts["leads"] == 9
    lead = desk.org.get(desk.ids[8])
    assert lead is not None
    assert lead["Lead_Score_Bucket__c"] == "Very Hot"
    assert lead["Lead_Score_Timestamp__c"] == "2024-12-21T00:00:00.000+0000"
    assert lead["Lead_Score_Expires__c"] == "2024-12-28"


def test_only_what_changed_is_sent_the_next_day(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    before = len(desk.writes())
    scores = dict.fromkeys(desk.ids, 0.2) | {desk.ids[3]: 0.8}
    output = desk.sync(score_rows(scores, DAY + dt.timedelta(days=1)), run_key="20241222-bbbbbbbb")
    assert desk.writes()[before:] == [(desk.ids[3], 0.8)]
    assert (output.counts["changed"], output.counts["unchanged"]) == (1, 11)
    assert output.figures["bucket_changes"] == {"Cold > Very Hot": 1}


def test_the_same_run_again_sends_nothing_and_says_the_same(desk: Desk) -> None:
    first = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    before = len(desk.writes())
    again = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    assert len(desk.writes()) == before
    assert (first.counts["sent_now"], again.counts["sent_now"]) == (12, 0)
    assert {**again.counts, "sent_now": 12} == first.counts


def test_an_unchanged_lead_is_written_again_before_its_score_expires(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    sent = [
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2), DAY + dt.timedelta(days=n)), run_key=f"day-{n}").counts[
            "sent"
        ]
        for n in range(1, 7)
    ]
    assert sent == [0, 0, 0, 0, 12, 0]


def test_a_dry_run_shows_what_would_change_and_sends_nothing(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    before = desk.org.history()
    output = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2) | {desk.ids[0]: 0.9}), run_key="later", dry_run=True)
    assert desk.org.history() == before
    assert output.counts["changed"] == 1
    assert output.figures["by_bucket"] == {"Very Hot": 1}
    assert output.figures["top_movers"][0]["lead_id"] == desk.ids[0]
    assert output.figures["sample"][0]["Lead_Score__c"] == "0.9000"
    assert output.figures["dry_run_reason"]


def test_a_row_without_an_id_is_set_aside_in_a_dry_run_and_in_the_run(desk: Desk) -> None:
    table = score_rows(dict.fromkeys(desk.ids, 0.2) | {"row-0000001": 0.5})
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 0.5})
    for dry_run in (True, False):
        counts = desk.sync(table, dry_run=dry_run).counts
        assert (counts["changed"], counts["set_aside"], counts["rejected"]) == (13, 1, 0)
    tomorrow = desk.sync(table.set_column(1, "as_of", pa.array([DAY + dt.timedelta(days=1)] * 13)), run_key="next")
    assert (tomorrow.counts["parked"], tomorrow.counts["changed"], tomorrow.counts["set_aside"]) == (0, 1, 1)


def test_a_row_without_a_lead_is_counted_once_however_often_the_run_is_repeated(desk: Desk) -> None:
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 0.5})
    table = score_rows(dict.fromkeys(desk.ids, 0.2) | {None: 0.5})
    first, again = desk.sync(table), desk.sync(table)
    assert {**again.counts, "sent_now": 12} == first.counts
    found = status(warehouse=desk.warehouse, state=desk.state, config_folder=HOME / "include" / "config")
    assert (found["runs"][0]["changed"], found["runs"][0]["set_aside"]) == (13, 1)


def test_a_run_that_would_move_too_many_leads_waits_for_a_person(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_bucket_change_share": 0.3})
    moved = score_rows(dict.fromkeys(desk.ids, 0.9))
    with pytest.raises(CheckFailed, match="12 of 12 leads would change bucket"):
        desk.sync(moved, run_key="later")
    assert set(desk.scores_in_org().values()) == {0.2}
    with pytest.raises(CheckFailed, match="approved are 11"):
        desk.sync(moved, run_key="later", approved_changes=11)  # a person saw 11 changes, by now there are 12
    assert set(desk.scores_in_org().values()) == {0.2}
    desk.sync(moved, run_key="later", approved_changes=12)
    assert set(desk.scores_in_org().values()) == {0.9}


def test_one_bad_row_does_not_fail_the_batch_and_is_accounted_for(desk: Desk) -> None:
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 0.5})
    scores = dict.fromkeys(desk.ids, 0.2) | {None: 0.5, "row-0000001": 0.5, desk.ids[1]: float("nan")}
    desk.org.recycle(desk.ids[2])
    output = desk.sync(score_rows(scores))
    assert output.counts["accepted"] == 10
    assert (output.counts["set_aside"], output.counts["rejected"]) == (3, 1)
    assert output.counts["sent"] == 11
    codes = {entry["code"] for entry in output.figures["problems"]}
    assert codes == {"MISSING_ID", "MALFORMED_ID", "BAD_VALUE", "ENTITY_IS_DELETED"}


def test_a_run_whose_rows_are_all_refused_fails_every_time(desk: Desk) -> None:
    desk.faults.set({"reject_rows": 1})
    for _ in range(2):
        with pytest.raises(
            CheckFailed, match="12 of 12 changed leads could not be written .12 x FIELD_CUSTOM_VALIDATION_EXCEPTION"
        ):
            desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    with pytest.raises(CheckFailed, match="12 of 12 leads are parked"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), run_key="another-run-of-the-day")
    with pytest.raises(CheckFailed, match="12 of 12 changed leads could not be written"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2), DAY + dt.timedelta(days=1)), run_key="next-day")
    assert desk.writes() == []


def test_a_refused_run_goes_through_after_the_mend(desk: Desk) -> None:
    desk.faults.set({"reject_rows": 1})
    scores = score_rows(dict.fromkeys(desk.ids, 0.2))
    with pytest.raises(CheckFailed):
        desk.sync(scores)
    desk.faults.clear()
    mended = desk.sync(scores, retry_parked=True)
    assert (mended.counts["accepted"], mended.counts["rejected"]) == (12, 0)
    assert len(desk.writes()) == 12


def test_a_refused_value_is_parked_for_its_day_and_tried_again_on_the_next(desk: Desk) -> None:
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 1.0})
    desk.faults.set({"reject_rows": 0.5})
    first = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    refused = first.counts["rejected"]
    assert 0 < refused < 12
    again = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), run_key="another-run-of-the-day")
    assert (again.counts["parked"], again.counts["sent"]) == (refused, 0)
    desk.faults.clear()
    tomorrow = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2), DAY + dt.timedelta(days=1)), run_key="next-day")
    assert (tomorrow.counts["accepted"], tomorrow.counts["parked"]) == (refused, 0)
    assert status(warehouse=desk.warehouse, state=desk.state, config_folder=HOME / "include" / "config")["parked"] == 0


def test_leads_that_are_refused_day_after_day_do_not_make_a_quiet_day_red_nor_hide_what_is_new(desk: Desk) -> None:
    scores: dict[str | None, float] = dict.fromkeys(desk.ids, 0.2) | {"row-1": 0.2}
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 0.1})
    desk.sync(score_rows(scores))
    for day in (1, 1, 2):  # one lead is refused again, also where a run is repeated; nothing else changed
        found = desk.sync(score_rows(scores, DAY + dt.timedelta(days=day)), run_key=f"day-{day}")
        assert (found.counts["changed"], found.counts["set_aside"]) == (1, 1)
    desk.faults.set({"reject_rows": 1})
    with pytest.raises(CheckFailed, match="2 of 2 changed leads could not be written.*remove the reason in the org"):
        desk.sync(score_rows(scores | {desk.ids[0]: 0.6}, DAY + dt.timedelta(days=3)), run_key="day-3")


def test_a_converted_deleted_or_unknown_lead_is_closed_whatever_its_score(desk: Desk) -> None:
    everyone = [*desk.ids, lead_id(99)]
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.org.convert(desk.ids[0])
    desk.org.recycle(desk.ids[1])
    scores = dict.fromkeys(everyone, 0.2) | dict.fromkeys(desk.ids[:2], 0.3)
    quiet = desk.sync(score_rows(scores, DAY + dt.timedelta(days=1)), run_key="quiet-day")  # all that changed is closed
    assert {entry["code"] for entry in quiet.figures["problems"]} == set(CLOSED_CODES)
    assert (quiet.counts["unchanged"], quiet.counts["changed"], quiet.counts["rejected"]) == (10, 3, 3)
    before = len(desk.org.history())
    rescored = score_rows(dict.fromkeys(everyone, 0.6), DAY + dt.timedelta(days=2))
    output = desk.sync(rescored, run_key="third-day")
    assert (output.counts["closed"], output.counts["parked"], output.counts["accepted"]) == (3, 0, 10)
    assert len(desk.org.history()) == before + 10
    again = desk.sync(rescored, run_key="third-day")
    assert {**again.counts, "sent_now": 10} == output.counts
    found = status(warehouse=desk.warehouse, state=desk.state, config_folder=HOME / "include" / "config")
    assert (found["closed"], found["parked"]) == (3, 0)
    desk.org.seed([{"Id": lead_id(99)}])  # came into the org after all
    retried = desk.sync(rescored, run_key="third-day", retry_parked=True)
    assert (retried.counts["accepted"], retried.counts["rejected"], retried.counts["sent_now"]) == (11, 2, 3)


def test_closed_leads_do_not_hide_what_else_was_refused(desk: Desk) -> None:
    desk.org.recycle(desk.ids[0])
    desk.faults.set({"reject_rows": 1})
    with pytest.raises(
        CheckFailed, match="11 of 12 changed leads could not be written .11 x FIELD_CUSTOM_VALIDATION_EX"
    ):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))


def test_an_org_in_which_most_leads_are_closed_is_noticed_every_day(desk: Desk) -> None:
    for one in desk.ids[1:]:
        desk.org.convert(one)
    for day in range(2):
        table = score_rows(dict.fromkeys(desk.ids, 0.2), DAY + dt.timedelta(days=day))
        with pytest.raises(CheckFailed, match="11 of 12 leads are converted, deleted or unknown in Salesforce"):
            desk.sync(table, run_key=f"day-{day}")


def test_a_day_on_which_all_changed_leads_are_closed_is_noticed(desk: Desk) -> None:
    desk.org.seed({"Id": lead_id(number)} for number in range(100, 120))
    everyone = [*desk.ids, *(lead_id(number) for number in range(100, 120))]
    desk.sync(score_rows(dict.fromkeys(everyone, 0.2)))
    for one in desk.ids:
        desk.org.convert(one)
    table = score_rows(dict.fromkeys(everyone, 0.2) | dict.fromkeys(desk.ids, 0.6))
    for _ in range(2):
        with pytest.raises(CheckFailed, match="12 of 12 changed leads are converted, deleted or unknown"):
            desk.sync(table, run_key="later")
    assert desk.sync(table, run_key="later", retry_parked=True).counts["rejected"] == 12  # a person has seen it


def test_a_dry_run_for_a_person_plans_what_was_parked_too(desk: Desk) -> None:
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_rejected_share": 1.0})
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    desk.faults.set({"reject_rows": 0.5})
    rescored = score_rows(dict.fromkeys(desk.ids, 0.9))
    refused = desk.sync(rescored, run_key="later").counts["rejected"]
    assert 0 < refused < 12
    plain = desk.sync(rescored, run_key="later", dry_run=True)
    assert (plain.counts["parked"], plain.counts["changed"], plain.figures["bucket_changes"]) == (refused, 0, {})
    plan = desk.sync(rescored, run_key="later", dry_run=True, retry_parked=True)
    assert (plan.counts["parked"], plan.counts["changed"]) == (0, refused)
    assert plan.figures["bucket_changes"] == {"Cold > Very Hot": refused}
    assert plan.figures["bucket_change_share"] == pytest.approx(refused / 12, abs=1e-6)
    desk.faults.clear()
    desk.settings = type(desk.settings)(**{**vars(desk.settings), "max_bucket_change_share": 0.01})
    with pytest.raises(CheckFailed, match=f"{refused} of 12 leads would change bucket"):
        desk.sync(rescored, run_key="later", retry_parked=True)
    assert desk.sync(rescored, run_key="later", retry_parked=True, approved_changes=refused).counts["accepted"] == 12


def test_scores_older_than_the_last_synced_are_refused(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    with pytest.raises(BadInput, match="older than those of 2024-12-21"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.4), DAY - dt.timedelta(days=1)), run_key="old")


def test_the_ledger_has_previous_and_new_values(desk: Desk) -> None:
    desk.sync(score_rows({desk.ids[0]: 0.2}))
    desk.sync(score_rows({desk.ids[0]: 0.6}), run_key="later")
    (row,) = desk.ledger("later")
    assert json.loads(row["previous_values"])["Lead_Score__c"] == "0.2000"
    assert json.loads(row["new_values"])["Lead_Score__c"] == "0.6000"
    assert (row["status"], row["attempts"]) == ("accepted", 1)


def test_only_the_fields_that_changed_are_sent_and_the_history_shows_no_others(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    scores = dict.fromkeys(desk.ids, 0.2) | {desk.ids[0]: 0.25, desk.ids[1]: 0.8}
    desk.sync(score_rows(scores), run_key="later")
    moved = {"Lead_Score__c", "Lead_Score_Percentile__c"}
    crossed = moved | {"Lead_Score_Bucket__c", "Lead_Action_Recommended__c"}
    assert [set(desk.org.history(one)[-1]["changes"]) for one in desk.ids[:2]] == [moved, crossed]
    uploads = [path.read_text() for path in sorted((desk.folder / "org" / "jobs").glob("*.csv"))]
    assert set(uploads[-1].splitlines()[0].split(",")) == {"Id", *crossed}
    cells = dict(zip(*(line.split(",") for line in uploads[-1].splitlines()[:2]), strict=True))
    assert {name for name, cell in cells.items() if cell} == {"Id", *moved}


def test_top_movers_are_leads_that_moved(desk: Desk) -> None:
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    scores = dict.fromkeys(desk.ids, 0.2) | {desk.ids[3]: 0.8, desk.ids[4]: 0.20001}
    other_version = score_rows(scores, version="v2-20241222-0badcafe")  # every lead is written
    output = desk.sync(other_version, run_key="later")
    assert output.counts["changed"] == 12
    assert [mover["lead_id"] for mover in output.figures["top_movers"]] == [desk.ids[3]]
