"""The daily sync over changing scores, with every fault of the org at random and the process killed at random."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from pathlib import Path
from typing import Any

import pytest
import requests

from lead_scoring.errors import CheckFailed, Conflict, Transient
from lead_scoring.salesforce import connect, ledger
from lead_scoring.storage.local import LocalStore
from sandbox.salesforce_org.faults import SWITCHES
from tests.salesforce.conftest import DAY, HOME, Desk, score_rows

SEED = 20241221
RUNS = 50
LEADS = 40


class Killed(BaseException):
    """What kill -9 is to a process: nothing after it runs, whatever was caught before."""


class Killer:
    """Ends the process at one in so many of its steps: before or after any request and any write of the journal."""

    def __init__(self, generator: random.Random, chance: float) -> None:
        self._generator = generator
        self.chance = chance
        self.kills = 0

    def __call__(self) -> None:
        if self._generator.random() < self.chance:
            self.kills += 1
            raise Killed


class MortalStore(LocalStore):
    def __init__(self, root: Path, killer: Killer) -> None:
        super().__init__(root)
        self._killer = killer

    def write(self, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        self._killer()
        generation = super().write(name, data, if_generation=if_generation)
        self._killer()
        return generation

    def upload(self, path: Path, name: str, *, if_generation: int | None = None) -> int:
        self._killer()
        return super().upload(path, name, if_generation=if_generation)


def mortal(sf: Any, killer: Killer) -> Any:
    send = sf.session.send

    def wrapped(*arguments: Any, **options: Any) -> requests.Response:
        killer()
        response: requests.Response = send(*arguments, **options)
        killer()
        return response

    sf.session.send = wrapped
    return sf


def until_done(desk: Desk, killer: Killer, table: Any, run_key: str) -> None:
    """What the scheduler does: try again after a kill or a passing fault, stop at a verdict."""
    for _ in range(200):
        try:
            sf = mortal(connect(desk.settings), killer)
            desk.sync(table, run_key=run_key, sf=sf)
            return
        except CheckFailed:
            return  # too many refusals: they are in the ledger, the task is red
        except (Killed, Transient, Conflict):
            continue
    raise AssertionError("the run did not come to an end")


def random_faults(generator: random.Random) -> dict[str, float]:
    chances = {
        "drop_reply": 0.15,
        "unavailable": 0.15,
        "expire_session": 0.1,
        "quota_used_up": 0.02,
        "lock_rows": 0.3,
        "abort_job": 0.3,
        "unprocessed_rows": 0.3,
        "lose_job": 0.3,
        "slow_seconds": 0.001,
    }
    values = {name: chance * generator.random() for name, chance in chances.items() if generator.random() < 0.7}
    if generator.random() < 0.3:
        values["reject_rows"] = 0.1
    return {**values, "seed": generator.randrange(1_000_000)}


def check_every_lead_is_accounted_for(desk: Desk, scores: dict[str, float], run_key: str) -> None:
    """The ledger says what the org has; a lead without its score is parked, or left in this run with a reason."""
    state = ledger.query(
        desk.warehouse, HOME / "include" / "sql", "salesforce_lead_state", org_id=desk.org.organization_id
    )
    assert state is not None
    rows = {row["lead_id"]: row for row in state.to_pylist()}
    left = {row["lead_id"] for row in desk.ledger(run_key) if row["status"] != "accepted" and row["code"]}
    for one, score in desk.scores_in_org().items():
        assert (rows[one]["score"] if one in rows else None) == score
        assert score == scores[one] or rows[one]["parked_digest"] or one in left


@pytest.mark.slow
def test_fifty_runs_with_every_fault_end_with_the_org_equal_to_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # these kills end processes, not the machine
    generator = random.Random(SEED)
    desk = Desk(tmp_path, LEADS)
    desk.settings = dataclasses.replace(desk.settings, wait_seconds=0.0005, rows_per_job=15, max_rejected_share=0.5)
    killer = Killer(generator, 0.01)
    desk.state = MortalStore(tmp_path / "state", killer)
    scores = {one: round(generator.random(), 4) for one in desk.ids}
    for run in range(RUNS):
        for one in generator.sample(desk.ids, 12):
            scores[one] = round(generator.random(), 4)
        desk.faults.clear()
        desk.faults.set(random_faults(generator))
        until_done(desk, killer, score_rows(dict(scores), DAY + dt.timedelta(days=run)), f"run-{run:02d}")
        if run % 5 == 4:
            check_every_lead_is_accounted_for(desk, scores, f"run-{run:02d}")
    print(f"kills {killer.kills}, faults {dict(desk.faults.hits)}, tries {desk.tries}, writes {len(desk.writes())}")
    assert killer.kills > 10
    assert {name for name, hits in desk.faults.hits.items() if hits} == set(SWITCHES) - {"seed", "slow_seconds"}

    desk.faults.clear()
    killer.chance = 0.0
    last = score_rows(dict(scores), DAY + dt.timedelta(days=RUNS))
    output = desk.sync(last, run_key="the-end", retry_parked=True)
    assert desk.scores_in_org() == scores
    assert output.counts["changed"] == output.counts["accepted"]

    rows = [row for run in range(RUNS) for row in desk.ledger(f"run-{run:02d}")] + desk.ledger("the-end")
    rows.sort(key=lambda row: row["sequence"])
    assert {row["status"] for row in rows} >= {"accepted", "rejected", "unprocessed"}
    assert all(row["attempts"] > 0 for row in rows if row["status"] == "accepted")
    assert all(row["code"] for row in rows if row["status"] == "rejected")
    for one in desk.ids:
        sent = [row["score"] for row in rows if row["lead_id"] == one and row["status"] == "accepted"]
        assert len(desk.org.history(one)) == len(sent)  # each accepted change was written once and is in the ledger
        moves = [score for score, before in zip(sent, [None, *sent], strict=False) if score != before]
        assert [score for lead, score in desk.writes() if lead == one] == moves  # in order
    desk.server.stop()
