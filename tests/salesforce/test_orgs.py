"""What the ledger knows belongs to one org; what the org shows is looked at again, and mended."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.salesforce import connect
from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.status import status
from tests.salesforce.conftest import DAY, HOME, Desk, score_rows
from tests.salesforce.test_recovery import STEPS, Killed, dying_at

NEXT_DAY = DAY.replace(day=22)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Desk]:
    """Another org with the same leads, as a refreshed sandbox has them."""
    made = Desk(tmp_path / "elsewhere", leads=12)
    yield made
    made.server.stop()


def move(desk: Desk, to: Desk) -> None:
    """Point the login at another org; ledger and journal stay."""
    desk.settings = dataclasses.replace(desk.settings, endpoint=to.settings.endpoint)


def scores_of(desk: Desk, value: float = 0.4) -> dict[str, float]:
    return dict.fromkeys(desk.ids, value)


def test_each_org_has_an_id_of_its_own(desk: Desk, elsewhere: Desk) -> None:
    here = OrgClient(connect(desk.settings), desk.settings).org_id
    there = OrgClient(connect(elsewhere.settings), elsewhere.settings).org_id
    assert here.startswith("00D") and len(here) == 18
    assert here != there


def test_another_org_gets_everything(desk: Desk, elsewhere: Desk) -> None:
    table = score_rows(scores_of(desk))
    assert desk.sync(table).counts["sent"] == 12
    move(desk, elsewhere)
    counts = desk.sync(table).counts
    assert (counts["sent_now"], counts["accepted"], counts["unchanged"]) == (12, 12, 0)
    assert elsewhere.scores_in_org() == scores_of(desk)


def test_back_at_the_first_org_nothing_is_sent_again(desk: Desk, elsewhere: Desk) -> None:
    table, first = score_rows(scores_of(desk)), desk.settings
    desk.sync(table)
    move(desk, elsewhere)
    desk.sync(table)
    desk.settings = first
    counts = desk.sync(table).counts
    assert (counts["sent_now"], counts["changed"]) == (0, 12)  # the 12 are this run's own, of its first call
    assert len(desk.writes()) == 12


def test_an_older_day_may_be_sent_to_an_org_that_has_none(desk: Desk, elsewhere: Desk) -> None:
    desk.sync(score_rows(scores_of(desk), as_of=NEXT_DAY), "20241222-aaaaaaaa")
    move(desk, elsewhere)
    assert desk.sync(score_rows(scores_of(desk))).counts["accepted"] == 12


def test_a_run_of_another_org_is_not_undone_here(desk: Desk, elsewhere: Desk) -> None:
    desk.sync(score_rows(scores_of(desk)))
    first = OrgClient(connect(desk.settings), desk.settings).org_id
    move(desk, elsewhere)
    with pytest.raises(NotFound, match=f"wrote to org {first}, the login leads to org 00D.*; log in to that org"):
        desk.undo()
    assert len(desk.writes()) == 12


def test_a_try_that_was_interrupted_at_another_org_is_closed_and_asks_nothing_here(desk: Desk, elsewhere: Desk) -> None:
    table, first = score_rows(scores_of(desk)), desk.settings
    with pytest.raises(Killed):
        desk.sync(table, sf=dying_at(desk, STEPS["close"], True))
    move(desk, elsewhere)
    counts = desk.sync(table, "20241221-bbbbbbbb").counts
    assert (counts["sent"], counts["accepted"]) == (12, 12)
    assert {row["status"] for row in desk.ledger()} == {"unprocessed"}
    assert "the login now leads to another org" in desk.ledger()[0]["message"]
    desk.settings = first
    again = desk.sync(table, "20241221-cccccccc").counts
    assert (again["sent"], again["accepted"]) == (0, 12), "the first org has taken them, as it shows itself"


def test_the_status_is_of_the_org_that_was_synced_last(desk: Desk, elsewhere: Desk) -> None:
    desk.sync(score_rows(scores_of(desk)))
    move(desk, elsewhere)
    desk.sync(score_rows({elsewhere.ids[0]: 0.8}, as_of=NEXT_DAY), "20241222-bbbbbbbb")
    found = status(warehouse=desk.warehouse, state=desk.state, config_folder=HOME / "include" / "config")
    assert found["org_id"] == elsewhere.org.organization_id
    assert (found["leads"], [run["run_key"] for run in found["runs"]]) == (1, ["20241222-bbbbbbbb"])


@pytest.mark.parametrize("value", [None, 0.9], ids=["wiped", "overwritten"])
def test_a_value_that_somebody_changed_in_the_org_is_mended_by_the_next_run(desk: Desk, value: float | None) -> None:
    desk.sync(score_rows(scores_of(desk)))
    desk.org.update(desk.ids[3], {"Lead_Score__c": value}, "a person")
    output = desk.sync(score_rows(scores_of(desk), as_of=NEXT_DAY), "20241222-aaaaaaaa")
    assert (output.counts["sent"], output.figures["by_reason"]) == (1, {"drift": 1})
    assert desk.scores_in_org() == scores_of(desk)


def test_a_field_that_the_sync_does_not_own_is_no_drift(desk: Desk) -> None:
    desk.sync(score_rows(scores_of(desk)))
    desk.org.update(desk.ids[3], {"Company": "Renamed"}, "a person")
    assert desk.sync(score_rows(scores_of(desk), as_of=NEXT_DAY), "20241222-aaaaaaaa").counts["unchanged"] == 12


def test_a_deleted_lead_is_no_drift(desk: Desk) -> None:
    desk.sync(score_rows(scores_of(desk)))
    desk.org.recycle(desk.ids[3])
    assert desk.sync(score_rows(scores_of(desk), as_of=NEXT_DAY), "20241222-aaaaaaaa").counts["unchanged"] == 12


def test_with_a_share_the_days_take_turns_until_every_lead_was_looked_at(desk: Desk) -> None:
    desk.settings = dataclasses.replace(desk.settings, verify_share=0.25, refresh_before_days=0)
    desk.sync(score_rows(scores_of(desk)))
    for one in desk.ids:
        desk.org.update(one, {"Lead_Score__c": None}, "a person")
    sent = []
    for day in range(1, 5):
        as_of = DAY + dt.timedelta(days=day)
        sent.append(desk.sync(score_rows(scores_of(desk), as_of=as_of), f"day-{day}").counts["sent"])
    assert sum(sent) == 12
    assert max(sent) < 12
    assert desk.scores_in_org() == scores_of(desk)


def test_a_share_of_zero_asks_the_org_for_nothing(desk: Desk) -> None:
    desk.settings = dataclasses.replace(desk.settings, verify_share=0)
    desk.sync(score_rows(scores_of(desk)))
    desk.org.update(desk.ids[3], {"Lead_Score__c": None}, "a person")
    assert desk.sync(score_rows(scores_of(desk), as_of=NEXT_DAY), "20241222-aaaaaaaa").counts["unchanged"] == 12


def test_a_full_sync_compares_every_lead_with_the_org_and_asks_before_many_change_bucket(desk: Desk) -> None:
    desk.settings = dataclasses.replace(desk.settings, verify_share=0, max_bucket_change_share=0.3)
    desk.sync(score_rows(scores_of(desk)))
    desk.org.update(desk.ids[3], {"Lead_Score__c": None}, "a person")
    output = desk.sync(score_rows(scores_of(desk)), "20241221-ffffffff", full=True)
    assert (output.counts["sent"], output.counts["accepted"], output.counts["leads"]) == (1, 12, 12)
    assert output.figures["by_reason"] == {"full": 12}
    assert desk.scores_in_org() == scores_of(desk)
    with pytest.raises(CheckFailed, match="12 of 12 leads would change bucket"):
        desk.sync(score_rows(scores_of(desk, 0.8), as_of=NEXT_DAY), "20241222-bbbbbbbb", full=True)


def test_a_ledger_that_does_not_say_whose_state_it_is_is_refused(desk: Desk, tmp_path: Path) -> None:
    old = tmp_path / "old.parquet"
    pq.write_table(pa.table({"run_key": ["a"], "sequence": [1], "lead_id": [desk.ids[0]]}), old)
    desk.warehouse.replace_partition("salesforce_sync_log", "a", [old])
    with pytest.raises(BadInput, match="did not record the org; rename it"):
        desk.sync(score_rows(scores_of(desk)))
