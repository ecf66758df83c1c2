"""The table ``salesforce_sync_log``: what every run sent, what was there before and what the org said.

One partition a run, replaced as a whole; the state of a lead is a query over all of them
(``include/sql/salesforce_lead_state``). Every row names the org that it was sent to, and every question is about one
org: at another org, or a refreshed sandbox, the state starts anew. A run that was interrupted and tried again has rows
of each try, told apart by ``sequence``, which counts the tries of all runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import BadInput, NotFound
from lead_scoring.warehouse import Warehouse
from lead_scoring.warehouse.definitions import table_schema
from lead_scoring.warehouse.sql import load_sql

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "salesforce_sync_log"
ACCEPTED = "accepted"  # the org has the new values
SET_ASIDE = "set_aside"  # never sent: no id, no score, two scores; parked until the value changes
REJECTED = "rejected"  # refused by the org for good: parked until the value changes; closed for a code of CLOSED_CODES
EXHAUSTED = "exhausted"  # refused for a passing reason on every attempt: the next run tries again
UNPROCESSED = "unprocessed"  # the org never came to it: the next run tries again
# Salesforce takes no value of these leads again: converted, deleted, or never in this org. The lead is closed.
CLOSED_CODES = ("CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY")
OUTCOMES = (ACCEPTED, SET_ASIDE, REJECTED, EXHAUSTED, UNPROCESSED)  # of a changed lead
SYNC, UNDO = "sync", "undo"  # operations


def schema() -> pa.Schema:
    return table_schema(TABLE)


def exists(warehouse: Warehouse) -> bool:
    """Whether anything was ever synced.

    :raises BadInput: the table is of a release that did not record the org, so it cannot be told whose state it is.
    """
    if TABLE not in warehouse.tables():
        return False
    if "org_id" not in warehouse.columns(TABLE):
        raise BadInput(
            f"table {TABLE} was written by a release that did not record the org; rename it (on a laptop `make clean`):"
            " the next sync then compares every lead with the org and sends only what differs"
        )
    return True


def query(warehouse: Warehouse, sql_folder: Path, name: str, **parameters: Any) -> pa.Table | None:
    """Rows of ``include/sql/<name>/query.sql`` over the ledger, or None if there is no ledger yet."""
    return warehouse.query(load_sql(sql_folder, name), parameters) if exists(warehouse) else None


def latest_org(warehouse: Warehouse, sql_folder: Path) -> str:
    """The org that was synced last, for those who only look and have no login; empty if there was none."""
    found = query(warehouse, sql_folder, "salesforce_latest_org")
    return str(found["org_id"][0].as_py()) if found is not None and found.num_rows else ""


def require_run(warehouse: Warehouse, sql_folder: Path, org_id: str, run_key: str) -> None:
    """:raises NotFound: the ledger has no such run of this org."""
    rows = query(warehouse, sql_folder, TABLE, run_key=run_key)
    orgs = sorted(set(rows["org_id"].to_pylist())) if rows is not None else []
    if orgs and org_id not in orgs:
        raise NotFound(f"run {run_key!r} wrote to org {orgs[0]}, the login leads to org {org_id}; log in to that org")
    if not orgs and (rows is None or warehouse.partition(TABLE, run_key) is None):
        raise NotFound(f"the ledger has no run {run_key!r}; `sync status` lists the runs")


def outcome(warehouse: Warehouse, sql_folder: Path, org_id: str, run_key: str) -> pa.Table:
    """What became of each lead that a run wanted to change. The ledger must exist."""
    return warehouse.query(load_sql(sql_folder, "salesforce_run_outcome"), {"org_id": org_id, "run_key": run_key})


def not_accepted(outcome: pa.Table) -> list[dict[str, Any]]:
    """The rows of an :func:`outcome` that the org does not have."""
    import pyarrow.compute as pc

    rows: list[dict[str, Any]] = outcome.filter(pc.not_equal(outcome["status"], ACCEPTED)).to_pylist()
    return rows


def latest_day(summary: pa.Table | None) -> dt.date | None:
    """The newest day whose scores the org has taken and kept: a run that was undone since does not count.

    :param summary: of ``salesforce_run_summary``; None if there is no ledger yet.
    """
    return max((run["as_of"] for run in kept_runs(summary)), default=None)


def kept_runs(summary: pa.Table | None) -> list[dict[str, Any]]:
    """The sync runs of which the org took something and that were not undone since, oldest first."""
    runs = [run for run in summary.to_pylist() if run["accepted"]] if summary is not None else []
    undone = {run["run_key"]: run["sequence"] for run in runs if run["operation"] == UNDO}
    return [
        run for run in runs if run["operation"] == SYNC and run["sequence"] > undone.get(undo_key(run["run_key"]), 0)
    ]


def undo_key(run_key: str) -> str:
    """Under what the ledger has the undoing of a run."""
    return f"undo-{run_key}"


def write(
    warehouse: Warehouse, sql_folder: Path, run_key: str, sequence: int, rows: Sequence[Mapping[str, Any]], work: Path
) -> None:
    """Make the rows of one try, after those of earlier tries, the run's partition. Doing it twice changes nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    added = pa.Table.from_pylist([dict(row) for row in rows], schema=schema())
    standing = query(warehouse, sql_folder, TABLE, run_key=run_key)
    table = added
    if standing is not None:
        standing = standing.select(schema().names).cast(schema())
        table = pa.concat_tables([standing.filter(pc.not_equal(standing["sequence"], sequence)), added])
    table = table.sort_by([("sequence", "ascending"), ("lead_id", "ascending"), ("payload_digest", "ascending")])
    path = work / "ledger.parquet"
    pq.write_table(table, path)
    warehouse.replace_partition(TABLE, run_key, [path])
