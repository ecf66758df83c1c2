"""The sync stage: what changed since the org last took it, sent once, recorded, judged."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.salesforce import ledger
from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.diff import Diff, compare, forgotten
from lead_scoring.salesforce.fields import MappedField, canonical, fields_for, load_fields
from lead_scoring.salesforce.journal import unfinished_run
from lead_scoring.salesforce.preflight import check_fields, check_quota
from lead_scoring.salesforce.report import counts_of, figures_of, judge, refused_before, write_report
from lead_scoring.salesforce.transfer import Row, Transfer
from lead_scoring.salesforce.verify import read_back
from lead_scoring.settings import SalesforceSettings
from lead_scoring.stage import StageOutput, canonical_json
from lead_scoring.storage import ObjectStore
from lead_scoring.warehouse import Warehouse

if TYPE_CHECKING:
    from simple_salesforce import Salesforce


class Superseded(BadInput):
    """The org has scores of a later day: yesterday's must not replace today's because somebody cleared an old task."""

    def __init__(self, as_of: dt.date, latest: dt.date) -> None:
        super().__init__(
            f"scores of {as_of} are older than those of {latest}, which the org has: nothing was sent, and nothing is "
            "missing, since the later run compared every lead; to go back, take the later runs back: "
            "`lead-scoring sync status` lists them, `lead-scoring sync undo --run KEY` undoes one"
        )


@dataclass(frozen=True)
class SyncRequest:
    """What a person or a task asks of one sync.

    :param dry_run: say what would change, send nothing.
    :param approved_changes: so many leads may change bucket although it is more than ``max_bucket_change_share``: what
        a person was shown and agreed to.
    :param retry_parked: send values again that were refused, and those of closed leads: the reason was removed. A dry
        run counts them among the changes, as the run will.
    :param full: trust nothing that is on record of the leads: compare every one with the org, and send what differs.
    """

    dry_run: bool = False
    approved_changes: int = 0
    retry_parked: bool = False
    full: bool = False


def sync(
    sf: Salesforce | None,
    *,
    warehouse: Warehouse,
    state: ObjectStore,
    scores: Sequence[Path],
    as_of: dt.date,
    run_key: str,
    settings: SalesforceSettings,
    config_folder: Path,
    work: Path | None = None,
    asked: SyncRequest | None = None,
) -> StageOutput:
    """Write to Salesforce what changed in the scores since the org last accepted a value.

    A try that was interrupted, of this run or another, is settled first: its jobs are picked up and recorded. So
    calling this again after any error or kill sends nothing twice.

    :param sf: a logged-in client: ``connect(settings)``, or ``SalesforceHook(session=session(settings)).get_conn()``.
        None for a dry run that does not look at the org.
    :param state: object store for the journal.
    :param scores: Parquet files with the columns of ``lead_scores``, all of the day ``as_of``.
    :param work: folder for ``report.json``; without it the output has no files.
    :param asked: None for a plain sync.
    :returns: counts of all tries of the run: leads = unchanged + parked + closed + changed, changed =
        accepted + set_aside + rejected + exhausted + unprocessed; ``sent``, and of these ``sent_now`` by this call.
    :raises BadInput: the org is not ready.
    :raises Superseded: the org has scores of a later day.
    :raises CheckFailed: too many leads would change bucket, or too many rows were refused.
    :raises Transient: the org stayed out of reach or too many rows were left; try again.
    """
    asked = asked or SyncRequest()
    if sf is None and not asked.dry_run:
        raise BadInput("a sync needs a Salesforce login; only a dry run does without")
    sql_folder = config_folder.parent / "sql"
    mapped = load_fields(config_folder)
    fields = fields_for(mapped, _columns(scores))
    client = OrgClient(sf, settings) if sf is not None else None
    if client is not None:
        check_fields(client, fields)
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="salesforce-")))
        transfer = (
            Transfer(client, warehouse, state, mapped, sql_folder, folder) if client and not asked.dry_run else None
        )
        interrupted = transfer.settle() if transfer else unfinished_run(state)
        org_id = client.org_id if client else ledger.latest_org(warehouse, sql_folder)
        latest = ledger.latest_day(ledger.query(warehouse, sql_folder, "salesforce_run_summary", org_id=org_id))
        superseded = latest if latest and as_of < latest else None
        if superseded and not asked.dry_run:
            raise Superseded(as_of, superseded)
        known = ledger.query(warehouse, sql_folder, "salesforce_lead_state", org_id=org_id)
        diff = compare(
            scores,
            forgotten(known) if asked.full else known,
            fields,
            as_of=as_of,
            refresh_before_days=settings.refresh_before_days,
            retry_parked=asked.retry_parked,
            drifted=read_back(client, fields, as_of, settings.verify_share) if client else None,
        )
        quota = check_quota(client, diff.sendable) if client else {}
        figures = figures_of(diff, settings, quota, interrupted, superseded)
        if transfer is None:
            no_ids = diff.leads > 0 and not diff.unchanged and not diff.sendable
            figures["dry_run_reason"] = "no row has a Salesforce id" if no_ids else "asked for, nothing was sent"
            output = write_report(folder, counts_of(diff, None, set()), figures, None)
        else:
            _check_blast_radius(diff, settings, asked.approved_changes)
            sequences = _send(transfer, diff, fields, run_key, as_of)
            if not ledger.exists(warehouse) or warehouse.partition(ledger.TABLE, run_key) is None:
                ledger.write(warehouse, sql_folder, run_key, 0, [], folder)  # that nothing changed is on record too
            outcome = ledger.outcome(warehouse, sql_folder, org_id, run_key)
            counts = counts_of(diff, outcome, sequences)
            output = write_report(folder, counts, figures, outcome)
            again = refused_before(outcome, known, as_of)
            judge(
                counts, output.figures["problems"], settings, run_key, retried=asked.retry_parked, refused_before=again
            )
    return output if work else replace(output, files={})


def _check_blast_radius(diff: Diff, settings: SalesforceSettings, approved_changes: int) -> None:
    changes = sum(diff.bucket_changes.values())
    if diff.bucket_change_share > settings.max_bucket_change_share and changes > approved_changes:
        raise CheckFailed(
            f"{changes} of {diff.leads} leads would change bucket ({diff.bucket_change_share:.1%}; setting "
            f"salesforce.max_bucket_change_share is {settings.max_bucket_change_share:.0%}, approved are "
            f"{approved_changes}); look at a dry run, then sync with --approve {changes} (in Airflow: clear the task)"
        )


def _columns(scores: Sequence[Path]) -> list[str]:
    import pyarrow.parquet as pq

    if not scores:
        raise BadInput("there are no score files to sync; publish_scores writes them")
    return list(pq.read_schema(scores[0]).names)


def _send(transfer: Transfer, diff: Diff, fields: Sequence[MappedField], run_key: str, as_of: dt.date) -> set[int]:
    """Send all changes, one job's worth at a time, each a try of its own. Returns the tries' sequence numbers."""
    size = transfer.client.settings.rows_per_job
    sequences = set()
    for start in range(0, diff.changes.num_rows, size):
        rows = _plan(transfer, diff.changes.slice(start, size).to_pylist(), fields, run_key, as_of)
        sequences.add(transfer.run(run_key, ledger.SYNC, as_of.isoformat(), rows))
    return sequences


def _plan(
    transfer: Transfer, changes: Sequence[dict[str, Any]], fields: Sequence[MappedField], run_key: str, as_of: dt.date
) -> list[Row]:
    """Ledger rows of what is to be sent, with the values that the org has now. What it has already is not sent."""
    by_name = {field.name: field for field in fields}
    now = dict(transfer.client.read_leads([row["lead_id"] for row in changes if row["code"] is None], list(by_name)))
    rows = []
    for change in changes:
        values = {name: change[name] for name in by_name}
        record = now.get(change["lead_id"]) if change["code"] is None else None
        previous = {name: canonical(field, record.get(name)) for name, field in by_name.items()} if record else {}
        row: Row = {
            "run_key": run_key,
            "org_id": "",  # of the login, when it is sent
            "sequence": 0,
            "as_of": as_of,
            "operation": ledger.SYNC,
            "lead_id": change["lead_id"],
            "payload_digest": change["digest"],
            "previous_values": canonical_json(previous).decode(),
            "new_values": canonical_json(values).decode(),
            "score": None if change["code"] else change["score"],
            "bucket": change["bucket"],
            "expires_on": change["expires_on"],
            "status": "",
            "code": "",
            "message": "",
            "attempts": 0,
            "job_id": "",
        }
        if change["code"] is not None:
            row.update(status=ledger.SET_ASIDE, code=change["code"], message=change["message"])
        elif previous == values:
            row.update(status=ledger.ACCEPTED, message="the org had these values already")
        rows.append(row)
    return rows
