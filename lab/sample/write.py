"""Write the synthetic raw tables as Parquet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lab.sample.careers import NO_DAY, day, make_careers, make_records
from lab.sample.firms import make_snapshots
from lab.sample.leads import make_leads, make_outcomes
from lab.sample.trouble import dirty_leads, dirty_records, dirty_snapshots, late_departures
from lead_scoring.errors import BadInput
from lead_scoring.features.origin import METADATA_KEY
from lead_scoring.stage import StageOutput
from lead_scoring.storage.written import replacing

NOTE = "synthetic data: made by `lead-scoring sample`, no person or firm in it is real"
_DATES = {"start_date", "end_date", "month"}
_TIMES = {"contacted_at", "call_scheduled_at", "recorded_at"}
CONTACT_DAYS = 325


def write_sample(
    out: Path, leads: int = 12_000, seed: int = 7, as_of: dt.date = dt.date(2024, 12, 21), *, dirty: bool = True
) -> StageOutput:
    """Write ``leads.parquet``, ``employment_history.parquet`` and ``firm_snapshots.parquet`` into ``out``.

    The leads were contacted in the 325 days up to ``as_of``, a fifth are open. The tables also hold what was recorded
    in the eight months after ``as_of``: a run as of a day does not see it, and the audit needs it.

    :param leads: number of leads, at least 100.
    :param dirty: with broken records, as real tables have them.
    :raises BadInput: fewer than 100 leads.
    """
    if leads < 100:
        raise BadInput(f"leads is {leads}; a sample needs at least 100 leads")
    random = np.random.default_rng(seed)
    last = day(as_of.isoformat())
    first = last - CONTACT_DAYS
    advisors = leads * 2
    firms = max(60, leads // 20)
    careers = make_careers(random, advisors=advisors, firms=firms, settled_by=first - 20, until=last)
    outcomes = make_outcomes(
        random, careers, leads=leads, first_contact=first, last_contact=last - 1, advisors=advisors
    )
    employment = pd.concat(
        [make_records(random, careers, loaded_on=first - 240), late_departures(random, outcomes, careers)],
        ignore_index=True,
    )
    planted = len(employment)
    lead_rows = make_leads(random, outcomes, careers, first_contact=first)
    first_month = min(np.datetime64("2024-01", "M"), np.datetime64(as_of, "M") - 15)
    months = int((np.datetime64(as_of, "M") - first_month).astype(int)) + 9
    snapshots = make_snapshots(random, firms=firms, first_month=str(first_month), months=months)
    if dirty:
        lead_rows = dirty_leads(random, lead_rows)
        employment = dirty_records(random, employment)
        snapshots = dirty_snapshots(random, snapshots)
    lead_rows = lead_rows.sort_values(["lead_id", "recorded_at", "company"], kind="stable")
    employment = employment.sort_values(["advisor_crd", "start_date", "recorded_at", "end_date"], kind="stable")
    out.mkdir(parents=True, exist_ok=True)
    frames = {
        "leads.parquet": lead_rows,
        "employment_history.parquet": employment,
        "firm_snapshots.parquet": snapshots,
    }
    files = {name: out / name for name in frames}
    with replacing(list(files.values())) as private:
        for frame, path in zip(frames.values(), private, strict=True):
            _write(frame, path, as_of)
    return StageOutput(
        files=files,
        counts={
            "leads": leads,
            "advisors": advisors,
            "firms": firms,
            "conversions": int(outcomes.converted.sum()),
            "employment_records": len(employment),
            "clean_employment_records": planted,
            "snapshots": len(snapshots),
        },
        figures={"note": NOTE, "seed": seed, "as_of": as_of.isoformat()},
    )


def _write(frame: pd.DataFrame, path: Path, as_of: dt.date) -> None:
    arrays, fields = [], []
    for name in frame.columns:
        array = to_arrow(name, frame[name])
        arrays.append(array)
        fields.append(pa.field(name, array.type))
    schema = pa.schema(fields, metadata={"note": NOTE, METADATA_KEY: as_of.isoformat()})
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")


def to_arrow(name: str, column: pd.Series) -> pa.Array:
    """Dates and times from whole numbers, with NO_DAY as missing; other columns as they are."""
    if name in _DATES or name in _TIMES:
        values = column.to_numpy(np.int64)
        missing = values == NO_DAY
        values = np.where(missing, 0, values)
        if name in _DATES:
            return pa.array(values.astype(np.int32), mask=missing).cast(pa.date32())
        return pa.array(values * 1_000_000, mask=missing).cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if name == "total_aum":
        return pa.array(column.to_numpy(np.float64), from_pandas=True)
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        return pa.array(column.astype(object).where(column.notna(), None).to_list(), pa.string())
    return pa.array(column.to_numpy())
