"""Send the rows of a journal's plan until each is accepted, refused or out of attempts; and settle an interrupted try.

A plan is a list of ledger rows. A row whose status is empty is to be sent; sending fills in status, code, message,
attempts and job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lead_scoring.errors import NotFound
from lead_scoring.salesforce import ledger
from lead_scoring.salesforce.bulk import TRANSIENT_CODES, RowResult, results, submit, to_csv, wait, withdraw
from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.fields import MappedField, canonical
from lead_scoring.salesforce.journal import Journal, active, begin, unfinished
from lead_scoring.storage import ObjectStore
from lead_scoring.warehouse import Warehouse

Row = dict[str, Any]


class Transfer:
    """What sending needs. ``fields`` are all mapped ones, to compare what the org has with what was sent."""

    def __init__(
        self,
        client: OrgClient,
        warehouse: Warehouse,
        state: ObjectStore,
        fields: Sequence[MappedField],
        sql_folder: Path,
        work: Path,
    ) -> None:
        self.client = client
        self.warehouse = warehouse
        self.state = state
        self.fields = {field.name: field for field in fields}
        self.sql_folder = sql_folder
        self.work = work
        self._after = 0

    def run(self, run_key: str, operation: str, as_of: str, rows: list[Row]) -> int:
        """Send a plan as a try of its own and write it into the ledger. Returns its sequence number.

        :raises Conflict: another sync started or took over.
        :raises Transient: the org stayed out of reach. The next :meth:`settle` records what was sent.
        """
        journal = begin(self.state, self.client.org_id, run_key, operation, as_of, self._save_plan(rows), self._after)
        self._after = journal.sequence
        for row in rows:
            row.update(org_id=journal.org_id, sequence=journal.sequence)
        self._send(journal, rows)
        self._record(journal, rows)
        return journal.sequence

    def settle(self) -> str | None:
        """Bring an interrupted try to an end without sending anything: pick up its jobs and record what they did.

        What is prepared after this call stands on the ledger as it is now; :meth:`run` refuses it if another sync
        came in between.

        :returns: the run key of that try, or None if there was none.
        """
        self._after = int(active(self.state)[0]["sequence"])
        journal = unfinished(self.state)
        if journal is None:
            return None
        rows = self._load_plan(journal)
        if journal.org_id != self.client.org_id:  # its jobs cannot be asked from here; at that org all is compared anew
            _close(rows, f"the try was interrupted, and the login now leads to another org ({self.client.org_id})")
            self._record(journal, rows)
            return journal.run_key
        for number, part in enumerate(journal.data["parts"]):
            if part["job_id"] is None:
                continue
            withdraw(self.client, part["job_id"])
            self._collect(rows, journal.rows(number), part["job_id"])
        _close(rows, "the try was interrupted before this row was sent")
        self._record(journal, rows)
        return journal.run_key

    def has_values(self, row: Row, record: Mapping[str, Any] | None) -> bool:
        """Whether a record of the org has all values that a row sends."""
        wanted = changed_values(row)
        return record is not None and all(
            canonical(self.fields[name], record.get(name)) == value for name, value in wanted.items()
        )

    def _send(self, journal: Journal, rows: list[Row]) -> None:
        pending = [number for number, row in enumerate(rows) if not row["status"]]
        wanted = {number: changed_values(rows[number]) for number in pending}
        names = list(dict.fromkeys(name for values in wanted.values() for name in values))
        for attempt in range(self.client.settings.max_attempts):
            if not pending:
                break
            if attempt:
                self.client.pause(attempt - 1)
            data = to_csv(names, [(rows[n]["lead_id"], wanted[n]) for n in pending])
            part = journal.add_part(pending)
            pending = self._collect(rows, pending, submit(self.client, journal, part, data))
        _close(rows, "")

    def _collect(self, rows: list[Row], numbers: Sequence[int], job_id: str) -> list[int]:
        """Fill in what one job did. Returns the rows that are worth another attempt."""
        try:
            found = results(self.client, job_id, wait(self.client, job_id))
        except NotFound:
            found = {}
        missing = [number for number in numbers if rows[number]["lead_id"] not in found]
        found.update(self._ask(rows, missing))
        again = []
        for number in numbers:
            row, result = rows[number], found[rows[number]["lead_id"]]
            row.update(code=result.code, message=result.message, attempts=row["attempts"] + 1, job_id=job_id)
            if result.outcome in {ledger.ACCEPTED, ledger.REJECTED}:
                row["status"] = result.outcome
            else:
                again.append(number)
        return again

    def _ask(self, rows: list[Row], numbers: Sequence[int]) -> dict[str, RowResult]:
        """The job cannot say what it did with these rows: see whether the org has their values."""
        by_id = {rows[number]["lead_id"]: rows[number] for number in numbers}
        return {
            lead_id: RowResult("accepted", "", "the job's result was lost; the org has the values")
            if self.has_values(by_id[lead_id], record)
            else RowResult("unprocessed", "UNPROCESSED", "the job's result was lost; the org does not have the values")
            for lead_id, record in self.client.read_leads(list(by_id), list(self.fields))
        }

    def _record(self, journal: Journal, rows: list[Row]) -> None:
        ledger.write(self.warehouse, self.sql_folder, journal.run_key, journal.sequence, rows, self.work)
        journal.finish()

    def _save_plan(self, rows: list[Row]) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.work / "plan.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=ledger.schema()), path)
        return path

    def _load_plan(self, journal: Journal) -> list[Row]:
        import pyarrow.parquet as pq

        rows: list[Row] = pq.read_table(journal.plan()).to_pylist()
        for row in rows:
            row.update(org_id=journal.org_id, sequence=journal.sequence)
        return rows


def changed_values(row: Row) -> dict[str, str | None]:
    """The fields whose value differs from what the org had: only they are sent. An empty cell leaves a field alone."""
    previous, values = json.loads(row["previous_values"]), json.loads(row["new_values"])
    return {name: value for name, value in values.items() if name not in previous or previous[name] != value}


def _close(rows: list[Row], reason: str) -> None:
    """Rows that are still open at the end of a try."""
    for row in rows:
        if not row["status"]:
            row["status"] = ledger.EXHAUSTED if row["code"] in TRANSIENT_CODES else ledger.UNPROCESSED
            row["message"] = row["message"] or reason
