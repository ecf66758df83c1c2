"""Synthetic leads: who was contacted when, and who then scheduled a call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab.sample.careers import FIRST_ADVISOR, NO_DAY, Careers, Days
from lead_scoring.lead_ids import complete_id

OPEN_SHARE = 0.2
BASE_RATE = 0.041
SECONDS_PER_DAY = 86_400
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Outcomes:
    """One entry a lead, shape (leads,).

    :param contact: second of the contact since 1970, NO_DAY if the lead is open.
    :param call: second of the scheduled call, NO_DAY if there is none.
    :param job: index of the job that counts at the contact.
    """

    advisor: npt.NDArray[np.int64]
    contact: Days
    call: Days
    job: npt.NDArray[np.int64]
    converted: npt.NDArray[np.bool_]


def make_outcomes(
    random: np.random.Generator, careers: Careers, *, leads: int, first_contact: int, last_contact: int, advisors: int
) -> Outcomes:
    """Contacts on working days, and calls with the odds that tenure, gap and moves give.

    The slopes reproduce the conversion by quintile of the document's owner: tenure .066 to .007, gap .062 to .009.
    """
    advisor = random.permutation(advisors)[:leads]
    open_lead = random.random(leads) < OPEN_SHARE
    contact_day = random.integers(first_contact, last_contact + 1, leads)
    contact_day -= np.where((contact_day + 3) % 7 >= 5, 2, 0)  # day 0 was a Thursday; weekends move to the days before
    first_job = np.searchsorted(careers.advisor, advisor, side="left")
    final_job = np.searchsorted(careers.advisor, advisor, side="right") - 1
    job = np.where(careers.start[final_job] <= contact_day, final_job, np.maximum(final_job - 1, first_job))
    tenure_months = (contact_day - careers.start[job]) / 30.4375
    end = careers.end[job]
    gap_days = np.where((end == NO_DAY) | (end >= contact_day), 0, contact_day - end)
    moves = np.zeros(leads)
    for back in range(5):
        place = job - back
        recent = (place > first_job) & (careers.start[np.maximum(place, 0)] > contact_day - 1096)
        moves += recent
    logit = -0.0125 * tenure_months - 0.0004 * gap_days + 0.3 * np.minimum(moves, 4)
    chance = 1 / (1 + np.exp(-(logit + _intercept(logit, BASE_RATE))))
    converted = (random.random(leads) < chance) & ~open_lead
    contact = contact_day * SECONDS_PER_DAY + random.integers(13 * 3600, 22 * 3600, leads)
    wait = np.minimum(random.exponential(8, leads), 29) * SECONDS_PER_DAY
    too_late = (random.random(leads) < 0.006) & ~converted & ~open_lead
    wait[too_late] = random.integers(35, 90, too_late.sum()) * SECONDS_PER_DAY
    call = np.where(converted | too_late, contact + wait.astype(np.int64) + 60, NO_DAY)
    return Outcomes(advisor, np.where(open_lead, NO_DAY, contact), call, job, converted)


def make_leads(
    random: np.random.Generator, outcomes: Outcomes, careers: Careers, *, first_contact: int
) -> pd.DataFrame:
    """The versions of each lead that the CRM recorded: created, contacted, call scheduled.

    :return: columns of the canonical ``leads`` table, times as seconds since 1970.
    """
    count = len(outcomes.advisor)
    ids = np.array([complete_id(f"00QSY{_text62(number)}") for number in range(count)], dtype=object)
    created = (first_contact - random.integers(5, 60, count)) * SECONDS_PER_DAY + 9 * 3600
    source = random.choice(["LinkedIn", "Provided list", "Event", "Referral"], count, p=[0.5, 0.35, 0.1, 0.05])
    base = pd.DataFrame({
        "lead_id": ids,
        "advisor_crd": (outcomes.advisor + FIRST_ADVISOR).astype(str),
        "contacted_at": NO_DAY,
        "call_scheduled_at": NO_DAY,
        "company": [f"Synthetic Advisors {number}" for number in careers.firm[outcomes.job]],
        "lead_source": source,
        "recorded_at": created,
    })
    contacted = outcomes.contact != NO_DAY
    after_contact = base[contacted].assign(
        contacted_at=outcomes.contact[contacted], recorded_at=outcomes.contact[contacted]
    )
    called = outcomes.call != NO_DAY
    after_call = base[called].assign(
        contacted_at=outcomes.contact[called],
        call_scheduled_at=outcomes.call[called],
        recorded_at=outcomes.call[called],
    )
    return pd.concat([base, after_contact, after_call], ignore_index=True)


def _intercept(logit: npt.NDArray[np.float64], rate: float) -> float:
    """The constant that makes the mean probability ``rate``, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(np.mean(1 / (1 + np.exp(-(logit + middle))))) < rate else (low, middle)
    return low


def _text62(number: int) -> str:
    """Ten letters and digits, different for every number; the steps of 7 make capitals and small letters mix."""
    number = number * 7 + 3
    text = ""
    for _ in range(10):
        number, digit = divmod(number, 62)
        text = _LETTERS[digit] + text
    return text
