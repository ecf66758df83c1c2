"""What real data are troubled by: departures that are recorded late, and dirty records."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lab.sample.careers import NO_DAY, Careers, records
from lab.sample.leads import SECONDS_PER_DAY, Outcomes

LATE_SHARE_CONVERTED = 0.55
LATE_SHARE_OTHERS = 0.03


def late_departures(random: np.random.Generator, outcomes: Outcomes, careers: Careers) -> pd.DataFrame:
    """Departures shortly before the contact that the vendor recorded months after it.

    People who are about to leave take calls. Whoever reads the end date without asking when it was recorded reads the
    outcome from the future: this is the leak that cost the document's owner most of the published lift.
    """
    contact_day = outcomes.contact // SECONDS_PER_DAY
    share = np.where(outcomes.converted, LATE_SHARE_CONVERTED, LATE_SHARE_OTHERS)
    chosen = (
        (outcomes.contact != NO_DAY)
        & (careers.end[outcomes.job] == NO_DAY)
        & (careers.start[outcomes.job] < contact_day - 120)
        & (random.random(len(share)) < share)
    )
    job = outcomes.job[chosen]
    count = len(job)
    left = contact_day[chosen] - random.integers(3, 90, count)
    seen = contact_day[chosen] + random.integers(45, 210, count)
    return records(careers.advisor[job], careers.firm[job], careers.start[job], left, seen)


def dirty_leads(random: np.random.Generator, leads: pd.DataFrame) -> pd.DataFrame:
    """Break some leads: id, advisor number, repeated rows, contact in the future."""
    leads = leads.copy()
    names = leads["lead_id"].unique()
    broken = random.permutation(len(names))
    share = max(1, len(names) // 400)
    groups = [set(names[broken[start * share : (start + 1) * share]]) for start in range(5)]
    crd = leads["advisor_crd"].to_numpy(object)
    member = [leads["lead_id"].isin(group).to_numpy() for group in groups]
    crd[member[0]] = [f"CRD {text[:3]}O{text[4:]}" for text in crd[member[0]]]
    crd[member[1]] = None
    crd[member[2]] = [str(9_000_000 + number) for number in range(member[2].sum())]
    leads["advisor_crd"] = crd
    ids = leads["lead_id"].to_numpy(object)
    ids[member[3]] = [text[:15] + "000" for text in ids[member[3]]]
    leads["lead_id"] = ids
    repeated = leads[member[4]].assign(company="Synthetic Advisors (again)")
    return pd.concat([leads, repeated], ignore_index=True)


def dirty_records(random: np.random.Generator, employment: pd.DataFrame) -> pd.DataFrame:
    """Break some jobs: a start 600 years ago, an end before the start, two ends at one moment, a firm nobody knows."""
    share = max(1, len(employment) // 1500)
    rows = random.permutation(len(employment))
    ancient, backwards, split, unknown, ahead, blank = (
        employment.iloc[rows[place * share : (place + 1) * share]].copy() for place in range(6)
    )
    ancient_start = ancient["start_date"] - 600 * 365
    ancient = ancient.assign(start_date=ancient_start, end_date=NO_DAY, firm_crd=ancient["firm_crd"])
    backwards["end_date"] = backwards["start_date"] - 40
    split["end_date"] = split["recorded_at"] // SECONDS_PER_DAY - 1
    split["end_date"] = np.maximum(split["end_date"], split["start_date"])
    unknown = unknown.assign(
        firm_crd=unknown["firm_crd"] + 5_000_000,
        start_date=unknown["recorded_at"] // SECONDS_PER_DAY - 2,
        end_date=NO_DAY,
    )
    ahead = ahead.assign(start_date=ahead["recorded_at"] // SECONDS_PER_DAY + 900, end_date=NO_DAY)
    blank["start_date"] = NO_DAY
    blank["end_date"] = NO_DAY
    first = ancient["advisor_crd"].isin(employment["advisor_crd"].iloc[: len(employment) // 3])
    dirt = pd.concat([ancient[first], backwards, split, unknown, ahead, blank])
    return pd.concat([employment, dirt], ignore_index=True)


def dirty_snapshots(random: np.random.Generator, snapshots: pd.DataFrame) -> pd.DataFrame:
    """A few negative amounts and repeated months."""
    share = max(1, len(snapshots) // 2000)
    rows = random.permutation(len(snapshots))
    negative = snapshots.index[rows[:share]]
    snapshots = snapshots.copy()
    snapshots.loc[negative, "total_aum"] = -snapshots.loc[negative, "total_aum"].abs() - 1
    repeated = snapshots.iloc[rows[share : 2 * share]]
    return pd.concat([snapshots, repeated], ignore_index=True)
