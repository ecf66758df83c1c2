"""What happens to a sync that dies, meets a rival or loses a reply."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import requests

from lead_scoring.errors import BadInput, CheckFailed, Conflict, NotFound, Transient
from lead_scoring.salesforce import connect, not_accepted, session, status
from lead_scoring.salesforce.journal import unfinished, unfinished_run
from tests.salesforce.conftest import HOME, Desk, score_rows


class Killed(BaseException):
    pass


def dying_at(desk: Desk, happens: Callable[[str, str], bool], after: bool) -> Any:
    """A client whose process dies at the first request that matches, before it is sent or after it was answered."""
    sf = connect(desk.settings)
    send = sf.session.send

    def wrapped(request: requests.PreparedRequest, **options: Any) -> requests.Response:
        hit = happens(str(request.method), str(request.url))
        if hit and not after:
            raise Killed
        response: requests.Response = send(request, **options)
        if hit:
            raise Killed
        return response

    sf.session.send = wrapped
    return sf


STEPS: dict[str, Callable[[str, str], bool]] = {
    "create": lambda method, url: method == "POST" and url.endswith("/jobs/ingest"),
    "upload": lambda method, url: method == "PUT",
    "close": lambda method, url: method == "PATCH",
    "look": lambda method, url: method == "GET" and "/jobs/ingest/" in url,
    "results": lambda method, url: url.endswith("/successfulResults"),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", list(STEPS))
def test_a_retry_after_a_kill_sends_every_row_once(desk: Desk, step: str, after: bool) -> None:
    table = score_rows(dict.fromkeys(desk.ids, 0.2))
    with pytest.raises(Killed):
        desk.sync(table, sf=dying_at(desk, STEPS[step], after))
    assert unfinished_run(desk.state) == "20241221-aaaaaaaa"
    output = desk.sync(table)
    assert sorted(desk.writes()) == [(one, 0.2) for one in desk.ids]
    assert (output.counts["accepted"], output.counts["leads"]) == (12, 12)
    assert unfinished_run(desk.state) is None


def test_the_next_day_settles_a_run_that_died(desk: Desk) -> None:
    with pytest.raises(Killed):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), sf=dying_at(desk, STEPS["close"], True))
    output = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2) | {desk.ids[0]: 0.6}), run_key="next")
    assert output.figures["interrupted_run"] == "20241221-aaaaaaaa"
    assert [row["status"] for row in desk.ledger()] == ["accepted"] * 12
    assert len(desk.writes()) == 13
    assert output.counts["changed"] == 1


def test_of_two_attempts_at_once_the_first_stops(desk: Desk) -> None:
    table = score_rows(dict.fromkeys(desk.ids, 0.2))

    class Rival:
        started = False

    def start_rival(method: str, url: str) -> bool:
        if STEPS["upload"](method, url) and not Rival.started:
            Rival.started = True
            desk.sync(table)
        return False

    with pytest.raises((Conflict, BadInput)):
        desk.sync(table, sf=dying_at(desk, start_rival, False))
    assert sorted(desk.writes()) == [(one, 0.2) for one in desk.ids]
    assert [row["status"] for row in desk.ledger() if row["attempts"]][-12:] == ["accepted"] * 12


def test_a_run_prepared_before_another_one_started_is_refused(desk: Desk) -> None:
    def start_rival(method: str, url: str) -> bool:
        if method == "POST" and url.endswith("/composite/sobjects/Lead") and not desk.writes():
            desk.sync(score_rows(dict.fromkeys(desk.ids, 0.9)), run_key="rival")
        return False

    with pytest.raises(Conflict, match="another sync started while 20241221-aaaaaaaa was prepared"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), sf=dying_at(desk, start_rival, False))
    assert set(desk.scores_in_org().values()) == {0.9}


def test_a_taken_over_journal_cannot_be_written_by_its_first_owner(desk: Desk) -> None:
    with pytest.raises(Killed):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), sf=dying_at(desk, STEPS["look"], False))
    first, second = unfinished(desk.state), unfinished(desk.state)
    assert first is not None
    assert second is not None
    with pytest.raises(Conflict, match="another attempt has taken over the sync 20241221-aaaaaaaa"):
        first.save()
    second.save()


@pytest.mark.parametrize("fault", ["drop_reply", "unavailable", "expire_session"])
def test_a_passing_fault_is_overcome_without_sending_twice(desk: Desk, fault: str) -> None:
    sf = connect(desk.settings)
    desk.faults.set({fault: 3})
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), sf=sf)
    assert sorted(desk.writes()) == [(one, 0.2) for one in desk.ids]


def test_locked_rows_are_tried_again_and_counted(desk: Desk) -> None:
    desk.faults.set({"lock_rows": 2})
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    assert {(row["status"], row["attempts"]) for row in desk.ledger()} == {("accepted", 3)}


def test_rows_that_stay_locked_are_left_for_the_next_run(desk: Desk) -> None:
    desk.faults.set({"lock_rows": 5})
    with pytest.raises(Transient, match="12 of 12 changed leads could not be written .12 x UNABLE_TO_LOCK_ROW"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    assert {row["status"] for row in desk.ledger()} == {"exhausted"}
    assert desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2))).counts["accepted"] == 12


@pytest.mark.parametrize("fault", ["abort_job", "unprocessed_rows", "lose_job"])
def test_a_job_that_ends_badly_is_made_good(desk: Desk, fault: str) -> None:
    desk.faults.set({fault: 2})
    output = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    assert output.counts["accepted"] == 12
    assert sorted(desk.writes()) == [(one, 0.2) for one in desk.ids]


def test_a_used_up_quota_stops_the_run_before_it_starts_or_in_the_middle(desk: Desk) -> None:
    table = score_rows(dict.fromkeys(desk.ids, 0.2))
    desk.org.daily_requests = 4
    with pytest.raises(Transient, match="the org has 1 API requests left today, 12 rows need about 21"):
        desk.sync(table)
    desk.org.daily_requests = 1000

    def use_up(method: str, url: str) -> bool:
        desk.faults.set({"quota_used_up": 1 if STEPS["close"](method, url) else 0})
        return False

    with pytest.raises(Transient, match="daily API quota is used up"):
        desk.sync(table, sf=dying_at(desk, use_up, False))
    assert desk.sync(table).counts["accepted"] == 12
    assert sorted(desk.writes()) == [(one, 0.2) for one in desk.ids]


def test_an_org_without_the_fields_is_refused_before_anything_is_sent(desk: Desk) -> None:
    del desk.org.fields["Lead_Score_Expires__c"]
    score = desk.org.fields["Lead_Score__c"]
    desk.org.fields["Lead_Score__c"] = dataclasses.replace(score, precision=3, scale=2)
    bucket = desk.org.fields["Lead_Score_Bucket__c"]
    desk.org.fields["Lead_Score_Bucket__c"] = dataclasses.replace(bucket, updateable=False)
    with pytest.raises(BadInput) as caught:
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    for part in (
        "Lead has no field Lead_Score_Expires__c",
        "Lead_Score__c is Number(3,2), it must be (5,4)",
        "Lead_Score_Bucket__c cannot be edited by this user",
        "Deploy include/salesforce",
    ):
        assert part in str(caught.value)
    assert desk.org.history() == []


def test_a_session_that_cannot_be_renewed_says_so(desk: Desk) -> None:
    from simple_salesforce import Salesforce

    sf = Salesforce(session_id="gone", instance="x.my.salesforce.com", session=session(desk.settings))
    with pytest.raises(BadInput, match="the session has expired and the connection has no login"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), sf=sf)


def test_status_lists_runs_and_what_was_interrupted(desk: Desk) -> None:
    shared: dict[str, Any] = {"warehouse": desk.warehouse, "state": desk.state}
    assert status(**shared, config_folder=HOME / "include" / "config")["runs"] == []
    desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)))
    with pytest.raises(Killed):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.9)), run_key="b", sf=dying_at(desk, STEPS["look"], False))
    found = status(**shared, config_folder=HOME / "include" / "config")
    assert found["interrupted_run"] == "b"
    assert [(run["run_key"], run["accepted"]) for run in found["runs"]] == [("20241221-aaaaaaaa", 12)]
    assert found["buckets"] == {"Cold": 12}


def test_the_leads_that_a_run_could_not_write_are_listed_where_its_error_says(desk: Desk) -> None:
    desk.org.recycle(desk.ids[2])
    with pytest.raises(CheckFailed, match="`lead-scoring sync status --run 20241221-aaaaaaaa` lists them"):
        desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2) | {"row-1": 0.2}))
    shared: dict[str, Any] = {"warehouse": desk.warehouse, "config_folder": HOME / "include" / "config"}
    found = not_accepted(**shared, run_key="20241221-aaaaaaaa")
    assert [(row["lead_id"], row["status"], row["code"]) for row in found] == [
        (desk.ids[2], "rejected", "ENTITY_IS_DELETED"),
        ("row-1", "set_aside", "MALFORMED_ID"),
    ]
    assert found[0]["message"].startswith("entity is deleted")
    with pytest.raises(NotFound, match="the ledger has no run 'other'"):
        not_accepted(**shared, run_key="other")


def test_an_unknown_job_is_not_found(desk: Desk) -> None:
    from lead_scoring.salesforce.client import OrgClient

    with pytest.raises(NotFound):
        OrgClient(connect(desk.settings), desk.settings).get("jobs/ingest/750000000000000AAA")
