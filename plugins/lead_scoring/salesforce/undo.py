"""Undo a run: put back what each lead had before it, except where somebody has edited the field since."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.salesforce import ledger
from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.fields import MappedField, canonical, digest_of, load_fields
from lead_scoring.salesforce.preflight import check_fields, check_quota
from lead_scoring.salesforce.report import judge, messages_of, problems_of
from lead_scoring.salesforce.transfer import Row, Transfer
from lead_scoring.settings import SalesforceSettings
from lead_scoring.stage import StageOutput, canonical_json
from lead_scoring.storage import ObjectStore
from lead_scoring.warehouse import Warehouse

if TYPE_CHECKING:
    from simple_salesforce import Salesforce

SHOWN = 20
EXAMPLES = 5  # leads


def undo(
    sf: Salesforce,
    *,
    warehouse: Warehouse,
    state: ObjectStore,
    run_key: str,
    settings: SalesforceSettings,
    config_folder: Path,
    work: Path | None = None,
    dry_run: bool = False,
) -> StageOutput:
    """Restore the previous values of the leads that a run changed, field by field.

    A field is left as it is where the org no longer has what the run wrote: a person edited it, or a later run
    wrote it. Undo later runs first. Doing it twice changes nothing more; the ledger has it as ``undo-<run_key>``.

    :param work: folder for ``undo.json``, which lists everything that was left; without it the output has no files.
    :returns: counts leads = changed + left + unchanged, changed = accepted + rejected + exhausted + unprocessed, and
        ``fields_left``; figures ``by_field`` {field: leads}, ``examples`` of a few leads, each with ``lead_id``,
        ``field``, ``from`` and ``to``, and ``left``, the first of what was left and why.
    :raises NotFound: the ledger has no such run of this org.
    :raises CheckFailed: the org refused too many rows.
    :raises Transient: the org stayed out of reach; try again.
    """
    client = OrgClient(sf, settings)
    sql_folder = config_folder.parent / "sql"
    fields = load_fields(config_folder)
    check_fields(client, fields)
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="salesforce-")))
        transfer = Transfer(client, warehouse, state, fields, sql_folder, folder)
        if not dry_run:
            transfer.settle()
        ledger.require_run(warehouse, sql_folder, client.org_id, run_key)
        found = ledger.query(warehouse, sql_folder, "salesforce_undo_rows", org_id=client.org_id, run_key=run_key)
        entries = found.to_pylist() if found is not None else []
        undo_key = ledger.undo_key(run_key)
        rows, left = _plan(client, entries, fields, run_key, undo_key)
        check_quota(client, len(rows))
        if not dry_run:
            for start in range(0, len(rows), settings.rows_per_job):
                part = rows[start : start + settings.rows_per_job]
                transfer.run(undo_key, ledger.UNDO, part[0]["as_of"].isoformat(), part)
        output = _report(rows, left, len(entries), settings, undo_key, folder, dry_run)
    return output if work else replace(output, files={})


def _plan(
    client: OrgClient, entries: Sequence[dict[str, Any]], fields: Sequence[MappedField], run_key: str, undo_key: str
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Rows that restore what can be restored, and what is left: lead, field, our value, theirs, why."""
    left = [
        {"lead_id": entry["lead_id"], "why": f"run {entry['last_written_by']} wrote the lead since"}
        for entry in entries
        if entry["last_written_by"] not in {run_key, undo_key}
    ]
    ours = {entry["lead_id"]: entry for entry in entries if entry["last_written_by"] == run_key}
    rows = []
    for lead_id, record in client.read_leads(list(ours), [field.name for field in fields]):
        entry = ours[lead_id]
        if record is None:
            left.append({"lead_id": lead_id, "why": "the lead is not in the org any more"})
            continue
        written, before = json.loads(entry["new_values"]), json.loads(entry["previous_values"])
        now = {field.name: canonical(field, record.get(field.name)) for field in fields if field.name in written}
        changed = [name for name in written if before.get(name) != written[name]]  # others were never sent
        edited = [name for name in changed if now[name] != written[name]]
        left += [
            {"lead_id": lead_id, "field": name, "ours": written[name], "theirs": now[name], "why": "edited since"}
            for name in edited
        ]
        restored = {name: before.get(name) for name in changed if name not in edited}
        if restored:
            rows.append(_row(entry, undo_key, fields, now, restored))
    return rows, left


def _row(
    entry: dict[str, Any],
    undo_key: str,
    fields: Sequence[MappedField],
    now: dict[str, str | None],
    restored: dict[str, str | None],
) -> Row:
    after = {**now, **restored}
    by_column = {field.column: after.get(field.name) for field in fields}
    score, expires_on = by_column.get("lead_score"), by_column.get("expires_on")
    return {
        "run_key": undo_key,
        "org_id": "",  # of the login, when it is sent
        "sequence": 0,
        "as_of": entry["as_of"],
        "operation": ledger.UNDO,
        "lead_id": entry["lead_id"],
        "payload_digest": digest_of([field for field in fields if field.name in now], after),
        "previous_values": canonical_json({name: now[name] for name in restored}).decode(),
        "new_values": canonical_json(restored).decode(),
        "score": None if score is None else float(score),
        "bucket": by_column.get("score_bucket"),
        "expires_on": None if expires_on is None else dt.date.fromisoformat(expires_on),
        "status": "",
        "code": "",
        "message": "",
        "attempts": 0,
        "job_id": "",
    }


def _restored(rows: Sequence[Row]) -> dict[str, Any]:
    """What goes back, small enough for a form: how many leads by field, and a few examples."""
    by_field = Counter(name for row in rows for name in json.loads(row["new_values"]))
    examples = [
        {"lead_id": row["lead_id"], "field": name, "from": json.loads(row["previous_values"])[name], "to": value}
        for row in rows[:EXAMPLES]
        for name, value in json.loads(row["new_values"]).items()
    ]
    return {"by_field": dict(sorted(by_field.items())), "examples": examples}


def _report(
    rows: Sequence[Row],
    left: Sequence[dict[str, Any]],
    leads: int,
    settings: SalesforceSettings,
    undo_key: str,
    work: Path,
    dry_run: bool,
) -> StageOutput:
    statuses = Counter(row["status"] for row in rows)
    untouched = {entry["lead_id"] for entry in left} - {row["lead_id"] for row in rows}
    counts = {
        "leads": leads,
        "changed": len(rows),
        "parked": 0,
        "closed": 0,
        "left": len(untouched),
        "fields_left": sum("field" in entry for entry in left),
        "unchanged": leads - len(rows) - len(untouched),
        "sent": sum(row["attempts"] > 0 for row in rows),
        **{name: statuses[name] for name in ledger.OUTCOMES},
    }
    refused = [row for row in rows if row["status"] != ledger.ACCEPTED]
    problems = [] if dry_run else problems_of(refused)
    figures = {
        "left": list(left[:SHOWN]),
        **_restored(rows),
        "problems": problems,
        "messages": messages_of(problems),
        "dry_run_reason": "dry run: nothing was sent" if dry_run else "",
    }
    (work / "undo.json").write_bytes(canonical_json({"counts": counts, "figures": {**figures, "left": list(left)}}))
    if not dry_run:
        judge(counts, problems, settings, undo_key)
    return StageOutput(files={"undo.json": work / "undo.json"}, counts=counts, figures=figures)
