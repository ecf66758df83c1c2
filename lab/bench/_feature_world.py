"""A synthetic world of the real size: 788 k advisors, 2.2 M employment rows, 45 k firms of skewed size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lab.sample.careers import FIRST_ADVISOR, NO_DAY, day, make_careers, make_records
from lab.sample.firms import make_snapshots
from lab.sample.write import to_arrow
from lead_scoring.features.sources import SOURCE_TABLES
from lead_scoring.lead_ids import complete_id

AS_OF = "2025-09-30"
ADVISORS = 788_000
FIRMS = 45_000
FIRM_MONTHS = 928_000
SECONDS_PER_DAY = 86_400


def write_world(folder: Path, leads: int, *, share: float, seed: int, say: Callable[[str], None]) -> dict[str, int]:
    """Write the three canonical tables. :param share: of the real size of everything but the leads. :return: rows."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    last = day(AS_OF)
    advisors, firms = int(ADVISORS * share), max(50, int(FIRMS * share))
    say(f"making {advisors:,} careers")
    careers = make_careers(random, advisors=advisors, firms=firms, settled_by=last - 620, until=last)
    employment = make_records(random, careers, loaded_on=last - 700).sort_values("advisor_crd", kind="stable")
    say(f"making {firms:,} firms")
    snapshots = make_snapshots(random, firms=firms, first_month="2024-01", months=21)[: int(FIRM_MONTHS * share)]
    say(f"making {leads:,} leads")
    tables = {
        "leads": _leads(random, leads, advisors, last),
        "employment_history": employment,
        "firm_snapshots": snapshots,
    }
    for name, frame in tables.items():
        columns = [to_arrow(column, frame[column]) for column in SOURCE_TABLES[name].names]
        pq.write_table(pa.Table.from_arrays(columns, schema=SOURCE_TABLES[name]), folder / f"{name}.parquet")
    return {name: len(frame) for name, frame in tables.items()}


def _leads(random: np.random.Generator, leads: int, advisors: int, last: int) -> pd.DataFrame:
    contact = random.integers(last - 600, last, leads) * SECONDS_PER_DAY + random.integers(0, SECONDS_PER_DAY, leads)
    contact[random.random(leads) < 0.2] = NO_DAY
    called = (random.random(leads) < 0.04) & (contact != NO_DAY)
    return pd.DataFrame({
        "lead_id": [complete_id(f"00QSY{number:010d}") for number in range(leads)],
        "advisor_crd": (random.integers(0, advisors, leads) + FIRST_ADVISOR).astype(str),
        "contacted_at": contact,
        "call_scheduled_at": np.where(called, contact + 3600, NO_DAY),
        "company": "Synthetic Advisors",
        "lead_source": "Event",
        "recorded_at": np.where(contact == NO_DAY, (last - 610) * SECONDS_PER_DAY, contact + 3600),
    })
