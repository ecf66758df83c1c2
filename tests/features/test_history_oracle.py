"""The feature query against the oracle, on histories that hypothesis makes up."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lead_scoring.features.materialization import end_of_day
from lead_scoring.lead_ids import complete_id
from lead_scoring.settings import Settings
from lead_scoring.warehouse.sql import load_sql, to_duckdb
from tests.features.history_oracle import Lead, Record, Snapshot, World, expected

AS_OF = dt.date(2024, 12, 21)

# Days on which month arithmetic goes wrong, and a few plain ones so that histories meet on the same day.
DAYS = [
    dt.date.fromisoformat(text)
    for text in (
        "1999-12-31",
        "2015-06-10",
        "2019-02-28",
        "2020-02-29",
        "2021-02-28",
        "2021-03-01",
        "2021-05-31",
        "2021-12-21",
        "2021-12-22",
        "2022-08-15",
        "2023-01-31",
        "2023-03-31",
        "2023-11-30",
        "2023-12-01",
        "2023-12-31",
        "2024-01-01",
        "2024-01-31",
        "2024-02-28",
        "2024-02-29",
        "2024-03-01",
        "2024-03-31",
        "2024-04-30",
        "2024-05-15",
        "2024-06-30",
        "2024-09-30",
        "2024-11-30",
        "2024-12-01",
        "2024-12-20",
        "2024-12-21",
        "2024-12-22",
    )
]
days = st.one_of(st.sampled_from(DAYS), st.dates(dt.date(2016, 1, 1), dt.date(2025, 2, 1)))
times = st.sampled_from([dt.time(0), dt.time(12), dt.time(23, 59, 59, 999999)])
moments = st.builds(
    lambda day, time: dt.datetime.combine(day, time, tzinfo=dt.UTC),
    st.one_of(
        st.sampled_from([day for day in DAYS if day.year > 2022]), st.dates(dt.date(2023, 6, 1), dt.date(2025, 2, 1))
    ),
    times,
)
FIRMS = (11, 12, 13, 14)


@st.composite
def histories(draw: st.DrawFn) -> tuple[dt.datetime | None, int | None, list[tuple[Any, ...]]]:
    """Contact, days to the call, and records: (firm, start, end, recorded)."""
    records: list[tuple[Any, ...]] = []
    for _ in range(draw(st.sampled_from([0, 1, 2, 2, 3, 4, 6]))):
        firm, start = draw(st.sampled_from(FIRMS)), draw(days)
        end = draw(st.one_of(st.none(), days))
        if end is not None and end < start and draw(st.integers(0, 4)):
            start, end = end, start
        recorded = draw(moments)
        if start > recorded.date() and draw(st.integers(0, 5)):
            recorded = dt.datetime.combine(start, recorded.timetz())
        records.append((firm, start, end, recorded))
        if draw(st.integers(0, 3)) == 0:  # the same job is recorded again: later, earlier, or at the same moment
            again = draw(st.one_of(st.just(recorded), moments))
            records.append((firm, start, draw(st.one_of(st.just(end), st.none(), days)), again))
    contact = draw(st.one_of(st.none(), moments))
    return contact, draw(st.one_of(st.none(), st.integers(0, 40))), records


snapshots = st.builds(
    Snapshot,
    st.sampled_from(FIRMS[:3]),
    st.integers(0, 13).map(lambda number: dt.date(2023 + (11 + number) // 12, (11 + number) % 12 + 1, 1)),
    st.sampled_from([None, 0.0, 100.0, 250.0, 333.3, 4000.0, -5.0]),
    moments,
)


def build_world(drawn: list[Any], firm_rows: list[Snapshot]) -> World:
    leads, records = [], []
    for number, (contact, wait, jobs) in enumerate(drawn):
        advisor = 1000 + number
        contact = contact if contact is None or contact.date() <= AS_OF else None
        called = contact + dt.timedelta(days=wait) if contact and wait is not None else None
        called = called if called is None or called.date() <= AS_OF else None
        seen = called or contact or dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
        leads.append(Lead(complete_id(f"00QSY{number:010d}"), advisor, contact, called, seen))
        records += [Record(advisor, *job) for job in jobs]
    # three of the four firms are known from the start, so that most leads get as far as having features
    first = dt.datetime(2023, 6, 1, tzinfo=dt.UTC)
    return World(leads, records, [*firm_rows, *(Snapshot(firm, first.date(), 100.0, first) for firm in FIRMS[:3])])


@pytest.fixture(scope="module")
def query(settings: Settings) -> str:
    return to_duckdb(load_sql(settings.sql_folder, "lead_features"))


def run_duckdb(query: str, world: World, *, honour: bool = True) -> dict[tuple[str, bool], dict[str, Any]]:
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in world.tables().items():
            connection.register(name, table)
        parameters = {
            "as_of": AS_OF,
            "known_by": end_of_day(AS_OF),
            "label_window_days": 30,
            "one_open_lead": False,
            "scorable_only": False,
            "honour_recorded_at": honour,
            "leads_dated": True,
            "employment_dated": True,
            "snapshots_dated": True,
        }
        rows = connection.sql(query, params=parameters).to_arrow_table().to_pylist()
    return {(row["lead_id"], row["scorable"]): row for row in rows}


def assert_equal_rows(found: dict[Any, dict[str, Any]], wanted: dict[Any, dict[str, Any]]) -> Counter[str]:
    assert set(found) == set(wanted)
    seen: Counter[str] = Counter()
    for key, want in wanted.items():
        row = found[key]
        assert row["target"] == want["target"], key
        assert row["pit_date"] == want["pit_date"], key
        problem = want.get("problem")
        if problem:
            assert problem in row["problems"], (key, row["problems"])
            seen[problem] += 1
            continue
        assert row["problems"] == "", key
        for name, value in want.items():
            if name in {"target", "pit_date"}:
                continue
            same = (
                row[name] == value
                if value is None or row[name] is None
                else math.isclose(row[name], value, rel_tol=1e-12)
            )
            assert same, (key, name, row[name], value)
        seen["described"] += 1
    return seen


def test_the_query_says_what_the_catalog_says(query: str) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(histories(), min_size=25, max_size=60), st.lists(snapshots, min_size=6, max_size=30))
    def check(drawn: list[Any], firm_rows: list[Snapshot]) -> None:
        world = build_world(drawn, firm_rows)
        seen.update(assert_equal_rows(run_duckdb(query, world), expected(world, AS_OF)))

    check()
    assert seen.total() > 2500, seen
    assert seen["described"] > 800, seen
    assert seen["no job"] > 50, seen
    assert seen["unknown firm"] > 50, seen
