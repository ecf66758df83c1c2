"""One ingest job of Bulk API 2.0, from rows to results, such that no row is written twice.

A job changes nothing before it is closed (``UploadComplete``). So whatever goes wrong before that is answered by
aborting the job and making another; from then on the job's id, which was stored beforehand, is all that is needed to
pick up the results. See "Bulk API 2.0 and Bulk API Developer Guide", section "Bulk API 2.0 Ingest".
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lead_scoring.errors import BadInput, NotFound, Transient
from lead_scoring.salesforce.client import LostReply, OrgClient
from lead_scoring.salesforce.fields import CLEAR
from lead_scoring.salesforce.journal import Journal

FINAL = ("JobComplete", "Failed", "Aborted")
MAXIMUM_FILE_BYTES = 100_000_000  # Bulk API 2.0: a file may have 150 MB once base64-encoded, about 100 MB before
# The two codes that pass by themselves; every other refusal stands until the value or the org changes.
TRANSIENT_CODES = ("UNABLE_TO_LOCK_ROW", "API_TEMPORARILY_UNAVAILABLE")


@dataclass(frozen=True)
class RowResult:
    """What became of one row. ``outcome`` is ``accepted``, ``rejected``, ``locked`` (try again) or ``unprocessed``."""

    outcome: str
    code: str = ""
    message: str = ""


def to_csv(columns: Sequence[str], rows: Sequence[tuple[str, Mapping[str, str | None]]]) -> bytes:
    """Rows of lead id and values as an upload. A field that a row does not have is left alone, None clears it."""
    lines = [",".join(["Id", *columns])]
    lines += [",".join([lead_id, *(_cell(values, name) for name in columns)]) for lead_id, values in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def _cell(values: Mapping[str, str | None], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    # Always in quotes: csv.writer before Python 3.11.9 leaves a bare carriage return without, which ends the row.
    return CLEAR if value is None else '"' + value.replace('"', '""') + '"'


def submit(client: OrgClient, journal: Journal, part: int, data: bytes) -> str:
    """Create a job, store its id, upload and close it. Returns the id of the job that was closed.

    :raises Transient: the org stays out of reach; the part's id says where to go on.
    """
    if len(data) > MAXIMUM_FILE_BYTES:
        raise BadInput(
            f"a job's file has {len(data)} bytes, the org takes {MAXIMUM_FILE_BYTES}; "
            "lower setting salesforce.rows_per_job"
        )
    request = {"object": "Lead", "operation": "update", "contentType": "CSV", "lineEnding": "LF"}
    for attempt in range(client.settings.max_attempts):
        if attempt:
            client.pause(attempt - 1)
        job_id = str(client.request("POST", "jobs/ingest", json=request).json()["id"])
        journal.set_part(part, job_id=job_id)
        try:
            client.request(
                "PUT",
                f"jobs/ingest/{job_id}/batches",
                repeat=False,
                data=data,
                headers={"Content-Type": "text/csv; charset=UTF-8"},
            )
        except LostReply:
            withdraw(client, job_id)
            continue
        close(client, job_id)
        journal.set_part(part, closed=True)
        return job_id
    raise Transient(f"the upload of {len(data)} bytes failed {client.settings.max_attempts} times; run the sync again")


def close(client: OrgClient, job_id: str) -> None:
    """Set the job going. A lost reply is settled by asking which state the job is in."""
    for attempt in range(client.settings.max_attempts):
        try:
            client.request("PATCH", f"jobs/ingest/{job_id}", repeat=False, json={"state": "UploadComplete"})
            return
        except LostReply:
            try:
                if client.get(f"jobs/ingest/{job_id}")["state"] != "Open":
                    return
            except NotFound:
                return  # only a job that ended can go
            client.pause(attempt)
    raise Transient(f"job {job_id} could not be closed; run the sync again")


def withdraw(client: OrgClient, job_id: str) -> None:
    """Abort a job if it has not been closed, so that it never will be. One that was closed, or is gone, is let be."""
    for attempt in range(client.settings.max_attempts):
        try:
            if client.get(f"jobs/ingest/{job_id}")["state"] != "Open":
                return
            client.request("PATCH", f"jobs/ingest/{job_id}", repeat=False, json={"state": "Aborted"})
        except LostReply:
            client.pause(attempt)
        except BadInput:  # gone (NotFound is one), or closed by another attempt at this very moment
            return
    raise Transient(f"job {job_id} could not be aborted; run the sync again")


def wait(client: OrgClient, job_id: str) -> dict[str, Any]:
    """Poll until the job has ended, well or not, and return what the org says about it.

    :raises NotFound: the job is gone.
    :raises Transient: it takes longer than ``timeout_seconds``; it goes on, and the next attempt picks it up.
    """
    deadline = time.monotonic() + client.settings.timeout_seconds
    while True:
        info: dict[str, Any] = client.get(f"jobs/ingest/{job_id}")
        if info["state"] in FINAL:
            return info
        if time.monotonic() > deadline:
            raise Transient(
                f"job {job_id} is {info['state']} after {client.settings.timeout_seconds} s "
                f"({info.get('numberRecordsProcessed', 0)} rows done); run the sync again to pick it up"
            )
        time.sleep(client.settings.wait_seconds)


def results(client: OrgClient, job_id: str, info: Mapping[str, Any]) -> dict[str, RowResult]:
    """Lead id to what became of its row, for every row that the org accounts for.

    :raises NotFound: the job is gone.
    """
    found: dict[str, RowResult] = {}
    reason = str(info.get("errorMessage") or f"the job ended as {info['state']}")
    for row in _records(client, job_id, "unprocessedrecords"):
        found[row["Id"]] = RowResult("unprocessed", "UNPROCESSED", reason)
    for row in _records(client, job_id, "failedResults"):
        code, _, message = row["sf__Error"].partition(":")
        found[row["Id"]] = RowResult("locked" if code in TRANSIENT_CODES else "rejected", code, message)
    for row in _records(client, job_id, "successfulResults"):
        found[row["Id"]] = RowResult("accepted")
    return found


def _records(client: OrgClient, job_id: str, kind: str) -> csv.DictReader[str]:
    response = client.request("GET", f"jobs/ingest/{job_id}/{kind}", headers={"Accept": "text/csv"})
    return csv.DictReader(io.StringIO(response.content.decode("utf-8"), newline=""))
