"""Where the sync stands: its runs, what is parked, whether a try was interrupted; and what a run could not write."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from lead_scoring.salesforce import ledger
from lead_scoring.salesforce.journal import unfinished_run
from lead_scoring.storage import ObjectStore
from lead_scoring.warehouse import Warehouse


def status(*, warehouse: Warehouse, state: ObjectStore, config_folder: Path, runs: int = 10) -> dict[str, Any]:
    """What the ledger and the journal say of the org that was synced last. Asks the org nothing.

    :param runs: how many of the latest runs to list.
    :returns: ``org_id``; ``runs`` (newest first: the columns of ``salesforce_run_summary``), ``leads`` that the org has
        scores of, ``buckets`` of those, ``parked`` and ``closed`` leads, ``latest_as_of``, ``last_run`` (the newest
        that was not undone: the one to undo first), ``interrupted_run``.
    """
    sql_folder = config_folder.parent / "sql"
    org_id = ledger.latest_org(warehouse, sql_folder)
    summary = ledger.query(warehouse, sql_folder, "salesforce_run_summary", org_id=org_id)
    leads = ledger.query(warehouse, sql_folder, "salesforce_lead_state", org_id=org_id)
    buckets = Counter(leads["bucket"].to_pylist()) if leads is not None else Counter()
    del buckets[None]
    codes = leads["parked_code"].drop_null().to_pylist() if leads is not None else []
    closed = sum(code in ledger.CLOSED_CODES for code in codes)
    latest = ledger.latest_day(summary)
    listed = summary.to_pylist()[::-1][:runs] if summary is not None else []
    return {
        "org_id": org_id,
        "runs": [{**run, "as_of": run["as_of"].isoformat()} for run in listed],
        "leads": sum(buckets.values()),
        "buckets": dict(sorted(buckets.items())),
        "parked": len(codes) - closed,
        "closed": closed,
        "last_run": next((run["run_key"] for run in reversed(ledger.kept_runs(summary))), None),
        "latest_as_of": None if latest is None else latest.isoformat(),
        "interrupted_run": unfinished_run(state),
    }


def not_accepted(*, warehouse: Warehouse, config_folder: Path, run_key: str) -> list[dict[str, Any]]:
    """The leads that a run wanted to change and whose values the org does not have.

    :returns: by lead: ``lead_id``, ``status``, ``code`` and ``message``, as in ``salesforce_sync_log``.
    :raises NotFound: the ledger has no such run.
    """
    sql_folder = config_folder.parent / "sql"
    org_id = ledger.latest_org(warehouse, sql_folder)
    ledger.require_run(warehouse, sql_folder, org_id, run_key)
    rows = ledger.not_accepted(ledger.outcome(warehouse, sql_folder, org_id, run_key))
    return [{name: row[name] for name in ("lead_id", "status", "code", "message")} for row in rows]
