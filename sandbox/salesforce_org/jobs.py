"""Ingest jobs of Bulk API 2.0: Open > UploadComplete > InProgress > JobComplete | Failed | Aborted.

A worker thread takes closed jobs in order and commits 200 rows at a time, so a job that is aborted or interrupted has
written some rows and not others. A job that was under way when the process died goes on when it starts again.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import threading
import time
from typing import Any

from sandbox.salesforce_org.org import USER_ID, Org, now_text
from sandbox.salesforce_org.values import RowError, id_checksum

ROWS_PER_COMMIT = 200
MAXIMUM_UPLOAD_BYTES = 150_000_000  # 100 MB of raw data grow to about this when base64-encoded (Bulk API 2.0 limits)
DELIMITERS = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
FINAL = ("JobComplete", "Failed", "Aborted")


class JobError(Exception):
    """A request about a job is refused."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Jobs:
    """The org's ingest jobs.

    :param seconds_per_commit: how long 200 rows take at least, to make a job last.
    """

    def __init__(self, org: Org, seconds_per_commit: float = 0.0) -> None:
        self._org = org
        self._pause = seconds_per_commit
        self._wake = threading.Event()
        self._stop = False
        self._worker = threading.Thread(target=self._work, name="ingest", daemon=True)
        self._worker.start()

    def close(self) -> None:
        self._stop = True
        self._wake.set()
        self._worker.join()

    def create(self, request: dict[str, Any], version: str) -> dict[str, Any]:
        """A new job in state Open.

        :raises JobError: the operation, object or format is not one this org serves.
        """
        if request.get("object") != "Lead":
            raise JobError(400, "INVALIDENTITY", f"The entity {request.get('object')} is not supported by this org")
        if request.get("operation") != "update":
            raise JobError(
                400, "INVALIDOPERATION", f"operation {request.get('operation')} is not enabled for this user"
            )
        if request.get("contentType", "CSV") != "CSV":
            raise JobError(400, "FEATURENOTENABLED", "Only CSV is supported")
        delimiter, ending = request.get("columnDelimiter", "COMMA"), request.get("lineEnding", "LF")
        if delimiter not in DELIMITERS or ending not in LINE_ENDINGS:
            raise JobError(400, "INVALIDJOB", f"columnDelimiter {delimiter} or lineEnding {ending} is invalid")
        with self._org.transaction() as db:
            number = self._org.count("jobs")
            short = f"750{number:012d}"
            job_id = short + id_checksum(short)
            info = {
                "id": job_id,
                "operation": "update",
                "object": "Lead",
                "createdById": USER_ID,
                "createdDate": now_text(),
                "systemModstamp": now_text(),
                "state": "Open",
                "concurrencyMode": "Parallel",
                "contentType": "CSV",
                "apiVersion": float(version),
                "contentUrl": f"services/data/v{version}/jobs/ingest/{job_id}/batches",
                "lineEnding": ending,
                "columnDelimiter": delimiter,
                "jobType": "V2Ingest",
            }
            db.execute("INSERT INTO job (id, info) VALUES (?, ?)", (job_id, json.dumps(info)))
        return info

    def get(self, job_id: str) -> dict[str, Any]:
        """:raises JobError: there is no such job."""
        with self._org.transaction() as db:
            return self._get(db, job_id)

    def all(self) -> list[dict[str, Any]]:
        with self._org.transaction() as db:
            return [json.loads(info) for (info,) in db.execute("SELECT info FROM job ORDER BY number")]

    def upload(self, job_id: str, data: bytes) -> None:
        """Take the job's rows; once only.

        :raises JobError: the job is not Open or has its rows already, or they are too many bytes.
        """
        with self._org.transaction() as db:
            info = self._get(db, job_id)
            if info["state"] != "Open" or self._path(job_id).exists():
                raise JobError(400, "INVALIDJOBSTATE", f"Job {job_id} is {info['state']} and cannot take data (again)")
            if len(data) > MAXIMUM_UPLOAD_BYTES:
                raise JobError(413, "FILESIZE_LIMIT_EXCEEDED", f"{len(data)} bytes exceed the maximum file size")
            partial = self._path(job_id).with_suffix(".partial")
            partial.write_bytes(data)
            partial.replace(self._path(job_id))

    def set_state(self, job_id: str, state: str) -> dict[str, Any]:
        """Close the upload, or abort.

        :raises JobError: the job is in a state that does not allow it.
        """
        with self._org.transaction() as db:
            info = self._get(db, job_id)
            allowed = {"UploadComplete": ("Open",), "Aborted": ("Open", "UploadComplete", "InProgress")}
            if info["state"] not in allowed.get(state, ()):
                raise JobError(400, "INVALIDJOBSTATE", f"Job {job_id} is {info['state']} and cannot become {state}")
            info = self._save(db, info, state=state)
        self._wake.set()
        return info

    def delete(self, job_id: str) -> None:
        """:raises JobError: the job is not finished."""
        with self._org.transaction() as db:
            if self._get(db, job_id)["state"] not in FINAL:
                raise JobError(400, "INVALIDJOBSTATE", f"Job {job_id} is not finished and cannot be deleted")
            db.execute("DELETE FROM job WHERE id = ?", (job_id,))
            db.execute("DELETE FROM job_row WHERE job_id = ?", (job_id,))
        self._path(job_id).unlink(missing_ok=True)

    def results(self, job_id: str, kind: str) -> str:
        """CSV of the rows that were ``successful``, ``failed`` or ``unprocessed``.

        :raises JobError: the job is not finished.
        """
        with self._org.transaction() as db:
            info = self._get(db, job_id)
            done = {row: (lead_id, error) for row, lead_id, error in self._done(db, job_id)}
        if info["state"] not in FINAL:
            raise JobError(400, "INVALIDJOBSTATE", f"Job {job_id} is {info['state']}: no results yet")
        header, rows = self._rows(info)
        extra = {"successful": ["sf__Id", "sf__Created"], "failed": ["sf__Id", "sf__Error"], "unprocessed": []}[kind]
        out = io.StringIO()
        delimiter, ending = DELIMITERS[info["columnDelimiter"]], LINE_ENDINGS[info["lineEnding"]]
        writer = csv.writer(out, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
        writer.writerow([*extra, *header])
        for number, row in enumerate(rows):
            lead_id, error = done.get(number, (None, None))
            if kind == "unprocessed" and number not in done:
                writer.writerow(row)
            elif kind == "successful" and lead_id and error is None:
                writer.writerow([lead_id, "false", *row])
            elif kind == "failed" and error is not None:
                writer.writerow([lead_id or "", error, *row])
        return out.getvalue()

    def _path(self, job_id: str) -> Any:
        return self._org.folder / "jobs" / f"{job_id}.csv"

    @staticmethod
    def _get(db: sqlite3.Connection, job_id: str) -> dict[str, Any]:
        row = db.execute("SELECT info FROM job WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise JobError(404, "NOT_FOUND", "The requested resource does not exist")
        info: dict[str, Any] = json.loads(row[0])
        return info

    @staticmethod
    def _save(db: sqlite3.Connection, info: dict[str, Any], **changes: Any) -> dict[str, Any]:
        info = {**info, **changes, "systemModstamp": now_text()}
        db.execute("UPDATE job SET info = ? WHERE id = ?", (json.dumps(info), info["id"]))
        return info

    @staticmethod
    def _done(db: sqlite3.Connection, job_id: str) -> list[tuple[int, str, str | None]]:
        return db.execute("SELECT row, lead_id, error FROM job_row WHERE job_id = ?", (job_id,)).fetchall()

    def _rows(self, info: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
        path = self._path(info["id"])
        text = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[info["columnDelimiter"]])
        rows = [row for row in reader if row]
        return (rows[0], rows[1:]) if rows else ([], [])

    def _work(self) -> None:
        while not self._stop:
            self._wake.clear()
            waiting = [info for info in self.all() if info["state"] in {"UploadComplete", "InProgress"}]
            for info in waiting:
                self._process(info["id"])
            if not waiting:
                self._wake.wait()

    def _process(self, job_id: str) -> None:
        with self._org.transaction() as db:
            info = self._get(db, job_id)
            if info["state"] in FINAL:
                return
            info = self._save(db, info, state="InProgress")
            next_row = len(self._done(db, job_id))
        header, rows = self._rows(info)
        if problem := self._invalid(info, header):
            with self._org.transaction() as db:
                self._finish(db, self._get(db, job_id), "Failed", errorMessage=problem)
            return
        middle = len(rows) // 2
        stop_at = None
        if self._org.faults.hit("abort_job"):
            stop_at, ending, message = middle, "Aborted", ""
        elif self._org.faults.hit("unprocessed_rows"):
            stop_at, ending, message = middle, "Failed", "InternalServerError : the job was interrupted"
        while not self._stop:
            with self._org.transaction() as db:
                info = self._get(db, job_id)
                if info["state"] in FINAL:
                    return
                last = min(next_row + ROWS_PER_COMMIT, len(rows) if stop_at is None else max(stop_at, next_row))
                results = [(job_id, n, *self._write(job_id, header, rows[n])) for n in range(next_row, last)]
                db.executemany("INSERT INTO job_row VALUES (?, ?, ?, ?)", results)
                next_row = last
                failed = info.get("numberRecordsFailed", 0) + sum(error is not None for *_, error in results)
                info = self._save(db, info, numberRecordsProcessed=next_row, numberRecordsFailed=failed)
                if stop_at is not None and next_row >= stop_at:
                    self._finish(db, info, ending, **({"errorMessage": message} if message else {}))
                    return
                if next_row >= len(rows):
                    self._finish(db, info, "JobComplete")
                    return
            time.sleep(self._pause)

    def _finish(self, db: sqlite3.Connection, info: dict[str, Any], state: str, **more: Any) -> None:
        counts = {"numberRecordsProcessed": 0, "numberRecordsFailed": 0, **info}
        times = {"retries": 0, "totalProcessingTime": 1, "apiActiveProcessingTime": 1, "apexProcessingTime": 0}
        self._save(db, {**counts, **times, **more}, state=state)

    def _invalid(self, info: dict[str, Any], header: list[str]) -> str:
        """Why the whole file cannot be processed, or nothing."""
        path = self._path(info["id"])
        first = path.read_bytes().split(b"\n", 1)[0] if path.exists() else b""
        if not first:
            return "InvalidBatch : Failed to parse CSV. The file is empty"
        if first.endswith(b"\r") != (info["lineEnding"] == "CRLF"):
            return (
                "ClientInputError : LineEnding is invalid on user data. "
                f"Current LineEnding setting is {info['lineEnding']}"
            )
        for name in header:
            if self._org.field(name) is None:
                return f"InvalidBatch : Field name not found : {name}"
        return "" if "id" in {name.lower() for name in header} else "InvalidBatch : Field name not found : Id"

    def _write(self, job_id: str, header: list[str], row: list[str]) -> tuple[str, str | None]:
        """Update one lead from one row: its id and the error, if any. An empty cell leaves the field as it is."""
        cells = dict(zip((name.lower() for name in header), row, strict=False))
        lead_id = cells.pop("id", "")
        values = {name: None if cell == "#N/A" else cell for name, cell in cells.items() if cell != ""}
        try:
            return self._org.update(lead_id, values, job_id), None
        except RowError as error:
            return lead_id, error.csv()
