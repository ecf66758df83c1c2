"""Synthetic careers: the jobs of every advisor and the records that a vendor made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Days = npt.NDArray[np.int64]  # days since 1970-01-01

NO_DAY = np.iinfo(np.int64).min  # as numpy's NaT
FIRST_ADVISOR = 1_000_000
FIRST_FIRM = 100_000


def day(text: str) -> int:
    """Days since 1970-01-01 of an ISO date."""
    return int(np.datetime64(text, "D").astype(np.int64))


@dataclass(frozen=True)
class Careers:
    """Jobs in the order of advisor and start; all arrays have shape (jobs,).

    :param advisor: 0-based number of the advisor.
    :param firm: 0-based number of the firm.
    :param start, end: days since 1970; ``end`` is NO_DAY while the job goes on.
    """

    advisor: npt.NDArray[np.int64]
    firm: npt.NDArray[np.int64]
    start: Days
    end: Days
    last: npt.NDArray[np.bool_]


def firm_weights(firms: int) -> npt.NDArray[np.float64]:
    """Shares of all jobs by firm, skewed: the largest firm has thousands of advisors, most have a handful."""
    weights = 1.0 / np.arange(1, firms + 1) ** 0.85
    share: npt.NDArray[np.float64] = weights / weights.sum()
    return share


def make_careers(random: np.random.Generator, *, advisors: int, firms: int, settled_by: int, until: int) -> Careers:
    """Careers that were settled on one day, and the moves of some advisors after it.

    :param settled_by: the day by which every career but the movers' has begun its last job.
    :param until: no job starts after this day.
    """
    prior = np.minimum(random.poisson(1.75, advisors), 11)
    moves = (random.random(advisors) < 0.07).astype(np.int64)
    jobs = prior + 1 + moves
    owner = np.repeat(np.arange(advisors), jobs)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(jobs) - jobs, jobs)
    settled = place == prior[owner]
    moved = place > prior[owner]
    tenure = random.gamma(3.2, 37 * 30.4, advisors)
    restless = random.random(advisors) < 0.2
    tenure[restless] = random.exponential(420, restless.sum()) + 20
    length = (
        np.where(restless[owner], random.exponential(420, len(owner)), random.gamma(1.6, 30 * 30.4, len(owner))) + 25
    )
    length[settled] = tenure[owner[settled]]
    length[moved] = 0
    # the start of a job is the settled day less its own length and those of the jobs after it
    backwards = np.cumsum(length[::-1])[::-1]
    after = np.append(backwards[np.cumsum(jobs)[:-1]], 0.0)
    start = settled_by - (backwards - after[owner]).astype(np.int64)
    start[moved] = random.integers(settled_by, until, moved.sum())
    following = np.append(start[1:], 0)
    is_last = np.append(owner[1:] != owner[:-1], True)
    end = following - random.integers(0, 60, len(owner))
    overlaps = random.random(len(owner)) < 0.05
    end[overlaps] += random.integers(60, 700, overlaps.sum())
    end = np.maximum(end, start + 5)
    left = is_last & ~moved & (random.random(len(owner)) < 0.45)
    gap = np.minimum(random.exponential(1300, len(owner)) + 30, 0.95 * length).astype(np.int64)
    end[is_last] = NO_DAY
    end[left] = np.maximum(settled_by - gap, start + 5)[left]
    return Careers(owner, random.choice(firms, len(owner), p=firm_weights(firms)), start, end, is_last)


def make_records(random: np.random.Generator, careers: Careers, *, loaded_on: int) -> pd.DataFrame:
    """What the vendor recorded: one load of everything known, then each start and each departure some weeks late.

    :param loaded_on: the day of the first load; nothing was recorded before it.
    :return: columns advisor_crd, firm_crd, start_date, end_date, recorded_at.
    """
    count = len(careers.start)
    start_seen = np.maximum(careers.start + random.integers(3, 25, count), loaded_on)
    has_end = careers.end != NO_DAY
    end_seen = np.where(has_end, np.maximum(careers.end + random.integers(5, 45, count), loaded_on), NO_DAY)
    at_once = has_end & (end_seen <= start_seen)
    later = has_end & ~at_once
    first_end = np.where(at_once, careers.end, NO_DAY)
    return records(
        np.concatenate([careers.advisor, careers.advisor[later]]),
        np.concatenate([careers.firm, careers.firm[later]]),
        np.concatenate([careers.start, careers.start[later]]),
        np.concatenate([first_end, careers.end[later]]),
        np.concatenate([start_seen, end_seen[later]]),
    )


def records(advisor: Any, firm: Any, start: Any, end: Any, recorded: Any) -> pd.DataFrame:
    """Rows of ``employment_history``; recorded at six in the morning, UTC."""
    return pd.DataFrame({
        "advisor_crd": np.asarray(advisor, dtype=np.int64) + FIRST_ADVISOR,
        "firm_crd": np.asarray(firm, dtype=np.int64) + FIRST_FIRM,
        "start_date": np.asarray(start, dtype=np.int64),
        "end_date": np.asarray(end, dtype=np.int64),
        "recorded_at": np.asarray(recorded, dtype=np.int64) * 86_400 + 6 * 3600,
    })
