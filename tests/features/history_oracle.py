"""A second opinion on the feature query: the words of the catalog in plain Python, one lead at a time.

Written from ``feature_catalog.yaml`` and not from the SQL: no intervals, no running sums, only the sentence that
defines the feature, applied to all records each time.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from lead_scoring.features.sources import SOURCE_TABLES

END_OF_RUN = dt.time.max
WINDOW_DAYS = 30


@dataclass(frozen=True)
class Record:
    advisor: int
    firm: int
    start: dt.date | None
    end: dt.date | None
    recorded: dt.datetime


@dataclass(frozen=True)
class Snapshot:
    firm: int
    month: dt.date
    aum: float | None
    recorded: dt.datetime


@dataclass(frozen=True)
class Lead:
    lead_id: str
    advisor: int
    contacted: dt.datetime | None
    called: dt.datetime | None
    recorded: dt.datetime


@dataclass(frozen=True)
class World:
    leads: Sequence[Lead]
    records: Sequence[Record]
    snapshots: Sequence[Snapshot]

    def tables(self) -> dict[str, pa.Table]:
        """The canonical source tables."""
        rows: dict[str, list[tuple[Any, ...]]] = {
            "leads": [(x.lead_id, str(x.advisor), x.contacted, x.called, None, None, x.recorded) for x in self.leads],
            "employment_history": [(x.advisor, x.firm, x.start, x.end, x.recorded) for x in self.records],
            "firm_snapshots": [(x.firm, x.month, x.aum, x.recorded) for x in self.snapshots],
        }
        return {
            name: pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows[name]], schema=schema)
            for name, schema in SOURCE_TABLES.items()
        }


def expected(world: World, as_of: dt.date) -> dict[tuple[str, bool], dict[str, Any]]:
    """Every row that a run must give: (lead, scorable) to target, pit date, problem or features."""
    end_of_day = dt.datetime.combine(as_of, END_OF_RUN, tzinfo=dt.UTC)
    history = [record for record in world.records if record.recorded <= end_of_day]
    snapshots = [snapshot for snapshot in world.snapshots if snapshot.recorded <= end_of_day]
    jobs = believed_records(history)
    months = believed_snapshots(snapshots)
    rows: dict[tuple[str, bool], dict[str, Any]] = {}
    for lead in world.leads:
        if lead.recorded > end_of_day:
            continue
        if lead.contacted and (as_of - lead.contacted.date()).days >= WINDOW_DAYS:
            called_in_time = lead.called and (lead.called.date() - lead.contacted.date()).days <= WINDOW_DAYS
            row = describe(lead.advisor, lead.contacted, jobs, months)
            rows[lead.lead_id, False] = {"target": int(bool(called_in_time)), "pit_date": lead.contacted.date(), **row}
        if lead.called is None:
            row = describe(lead.advisor, end_of_day, jobs, months)
            rows[lead.lead_id, True] = {"target": None, "pit_date": as_of, **row}
    return rows


def believed_records(records: Sequence[Record]) -> list[Record]:
    # an end after the day of recording is none yet; one before the start is wrong whatever the day
    records = [
        replace(record, end=None) if record.end is not None and record.end > record.recorded.date() else record
        for record in records
    ]

    def sound(record: Record) -> bool:
        if record.start is None or record.start > record.recorded.date():
            return False
        return record.end is None or record.start <= record.end

    good = [record for record in records if sound(record)]

    def contradicted(record: Record) -> bool:
        return any(
            (other.advisor, other.firm, other.start, other.recorded)
            == (record.advisor, record.firm, record.start, record.recorded)
            and other.end != record.end
            for other in good
        )

    return [record for record in good if not contradicted(record)]


def believed_snapshots(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    good = [x for x in snapshots if x.month <= x.recorded.date() and (x.aum is None or x.aum >= 0)]
    return [
        x
        for x in good
        if not any(
            (y.firm, month_number(y.month), y.recorded) == (x.firm, month_number(x.month), x.recorded)
            and y.aum != x.aum
            for y in good
        )
    ]


def newest(items: Sequence[Any], known_by: dt.datetime) -> Any | None:
    known = [item for item in items if item.recorded <= known_by]
    return max(known, key=lambda item: item.recorded) if known else None


def known_jobs(jobs: Sequence[Record], known_by: dt.datetime) -> list[Record]:
    keys = {(job.advisor, job.firm, job.start) for job in jobs}
    found = [newest([job for job in jobs if (job.advisor, job.firm, job.start) == key], known_by) for key in keys]
    return [job for job in found if job is not None]


def describe(
    advisor: int, moment: dt.datetime, jobs: Sequence[Record], snapshots: Sequence[Snapshot]
) -> dict[str, Any]:
    """The features of one advisor at one moment, by catalog column; or a problem."""
    pit = moment.date()
    own = [job for job in known_jobs([job for job in jobs if job.advisor == advisor], moment) if job.start <= pit]
    if not own:
        return {"problem": "no job"}
    in_order = sorted(own, key=lambda job: (job.start, -job.firm))
    current = in_order[-1]
    firm_snapshots = [snapshot for snapshot in snapshots if snapshot.firm == current.firm]
    if not any(snapshot.recorded <= moment for snapshot in firm_snapshots):
        return {"problem": "unknown firm"}

    def last_day(job: Record) -> dt.date:
        return pit if job.end is None or job.end > pit else job.end

    tenure = whole_months(current.start, pit)
    moves = sum(
        1
        for before, job in zip(in_order, in_order[1:], strict=False)
        if before.firm != job.firm and whole_months(job.start, pit) < 36
    )
    worked = {
        job.start + dt.timedelta(days=number) for job in own for number in range((last_day(job) - job.start).days)
    }
    employed = any(job.end is None or job.end >= pit for job in own)
    prior = [job for job in own if job is not current]
    prior_months = sum(whole_months(job.start, last_day(job)) for job in prior)
    firm_month = month_number(pit) - 1
    aum = firm_aum(firm_snapshots, firm_month, moment)
    growth = aum_growth(firm_snapshots, aum, moment)
    net = net_change(jobs, current.firm, firm_month)
    return {
        "aum_growth_since_jan2024_pct": growth,
        "current_firm_tenure_months": float(tenure),
        "days_in_gap": 0.0 if employed else float((pit - max(last_day(job) for job in own)).days),
        "firm_aum_pit": aum[1] if aum else None,
        "firm_net_change_12mo": float(net),
        "firm_rep_count_at_contact": float(rep_count(jobs, current.firm, firm_month)),
        "industry_tenure_months": float(int(len(worked) / 30.4375)),
        "num_prior_firms": float(len({job.firm for job in own} - {current.firm})),
        "pit_mobility_tier_Highly_Mobile": float(moves >= 3),
        "pit_mobility_tier_Mobile": float(moves == 2),
        "pit_mobility_tier_Stable": float(moves == 0 and tenure < 60),
        "pit_moves_3yr": float(moves),
        "pit_restlessness_ratio": tenure / (prior_months / len(prior)) if prior_months else None,
        "flight_risk_score": float(moves * max(-net, 0)),
        "is_fresh_start": float(tenure < 12),
    }


def whole_months(start: dt.date, end: dt.date) -> int:
    """Count the months one by one: each is complete when its day number has come."""
    count = 0
    while True:
        number = start.year * 12 + start.month - 1 + count + 1
        year, month = divmod(number, 12)
        if (end.year, end.month + 0) < (year, month + 1):
            return count
        if (end.year, end.month) == (year, month + 1) and end.day < start.day:
            return count
        count += 1


def month_number(day: dt.date) -> int:
    return day.year * 12 + day.month


def month_end(number: int) -> dt.date:
    year, month = divmod(number - 1, 12)
    return dt.date(year, month + 1, calendar.monthrange(year, month + 1)[1])


def firm_jobs(jobs: Sequence[Record], firm: int, number: int) -> list[Record]:
    end = dt.datetime.combine(month_end(number), END_OF_RUN, tzinfo=dt.UTC)
    return known_jobs([job for job in jobs if job.firm == firm], end)


def rep_count(jobs: Sequence[Record], firm: int, number: int) -> int:
    day = month_end(number)
    return len({
        job.advisor for job in firm_jobs(jobs, firm, number) if job.start <= day and (job.end is None or job.end >= day)
    })


def net_change(jobs: Sequence[Record], firm: int, number: int) -> int:
    months = range(number - 11, number + 1)
    known = firm_jobs(jobs, firm, number)
    arrivals = sum(month_number(job.start) in months for job in known)
    departures = sum(job.end is not None and month_number(job.end) in months for job in known)
    return arrivals - departures


def firm_aum(snapshots: Sequence[Snapshot], number: int, moment: dt.datetime) -> tuple[int, float | None] | None:
    for back in range(3):
        found = newest([x for x in snapshots if month_number(x.month) == number - back], moment)
        if found is not None:
            return number - back, found.aum
    return None


def aum_growth(
    snapshots: Sequence[Snapshot], aum: tuple[int, float | None] | None, moment: dt.datetime
) -> float | None:
    january = month_number(dt.date(2024, 1, 1))
    base = newest([x for x in snapshots if month_number(x.month) == january], moment)
    if aum is None or aum[1] is None or base is None or not base.aum or aum[0] < january:
        return None
    return min(100 * (aum[1] - base.aum) / base.aum, 500.0)
