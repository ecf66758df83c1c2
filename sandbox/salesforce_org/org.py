"""The org's records and their history, in one SQLite file."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.schema import Field
from sandbox.salesforce_org.values import RowError, coerce, record_id

USER_ID = "005000000000001AAA"
TABLES = """
CREATE TABLE IF NOT EXISTS lead (id TEXT PRIMARY KEY, deleted INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS history (number INTEGER PRIMARY KEY, lead_id TEXT, source TEXT, changes TEXT, at TEXT);
CREATE INDEX IF NOT EXISTS history_of_lead ON history (lead_id);
CREATE TABLE IF NOT EXISTS job (number INTEGER PRIMARY KEY, id TEXT UNIQUE, info TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS job_row (job_id TEXT, row INTEGER, lead_id TEXT, error TEXT, PRIMARY KEY (job_id, row));
CREATE TABLE IF NOT EXISTS session (token TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


def now_text() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


class Org:
    """Leads, what was done to them and by whom. Safe for threads; what was committed outlives the process.

    :param folder: of the state; made if missing. A new one is another org, with an id of its own, as a refreshed
        sandbox is.
    :param fields: name to field of the Lead object.
    :param daily_requests: how many API requests a day the org allows.
    """

    def __init__(
        self, folder: Path, fields: Mapping[str, Field], faults: Faults, daily_requests: int = 100_000
    ) -> None:
        self.folder = folder
        self.fields = dict(fields)
        self.faults = faults
        self.daily_requests = daily_requests
        self._names = {name.lower(): name for name in self.fields}
        self._lock = threading.RLock()
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "org.sqlite", check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + TABLES)
        self._db.execute(
            "INSERT INTO counter VALUES ('organization', ?) ON CONFLICT DO NOTHING", (secrets.randbelow(10**12),)
        )
        self.organization_id = record_id(f"00D{self.count('organization', 0):012d}", "00D")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        """All or nothing, one at a time."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def count(self, name: str, step: int = 1) -> int:
        """Add to a counter and return it. Counts API requests, numbers sessions."""
        with self.transaction() as db:
            db.execute("INSERT INTO counter VALUES (?, 0) ON CONFLICT DO NOTHING", (name,))
            db.execute("UPDATE counter SET value = value + ? WHERE name = ?", (step, name))
            (value,) = db.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
            return int(value)

    def field(self, name: str) -> Field | None:
        """A field by its name; the API does not mind capitals."""
        proper = self._names.get(name.lower())
        return self.fields[proper] if proper else None

    def seed(self, leads: Iterable[Mapping[str, Any]]) -> int:
        """Add leads that are not there yet; those that are keep what they have. Returns how many were added."""
        at = now_text()
        rows = []
        for lead in leads:
            identity = record_id(str(lead["Id"]))
            data = self._empty()
            data.update({"CreatedDate": at, "LastModifiedDate": at, "SystemModstamp": at})
            data.update({"Company": "unknown", "LastName": identity, "Status": "Open", "OwnerId": USER_ID})
            data.update({name: coerce(self.fields[name], value) for name, value in lead.items() if value is not None})
            data.update({"Id": identity, "Name": f"{data['FirstName'] or ''} {data['LastName']}".strip()})
            rows.append((identity, 0, json.dumps(data)))
        with self.transaction() as db:
            before = db.total_changes
            db.executemany("INSERT INTO lead VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)
            return db.total_changes - before

    def get(self, lead_id: str, deleted: bool = False) -> dict[str, Any] | None:
        """A lead's fields, or None if there is none or (unless asked for) it is in the recycle bin."""
        with self._lock:
            row = self._db.execute("SELECT data, deleted FROM lead WHERE id = ?", (lead_id,)).fetchone()
        return self._lead(row[0]) if row and (deleted or not row[1]) else None

    def leads(self, deleted: bool = False) -> Iterator[dict[str, Any]]:
        with self._lock:
            rows = self._db.execute("SELECT data FROM lead WHERE deleted <= ? ORDER BY id", (int(deleted),)).fetchall()
        return (self._lead(data) for (data,) in rows)

    def _lead(self, data: str) -> dict[str, Any]:
        """A stored lead; fields that were deployed after it was stored are empty."""
        return {**self._empty(), **json.loads(data)}

    def _empty(self) -> dict[str, Any]:
        """A checkbox is never empty."""
        return {name: False if field.kind == "Checkbox" else None for name, field in self.fields.items()}

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by proper field name, as they would be kept.

        :raises RowError: a field is unknown or cannot be written, or a value breaks its rules.
        """
        kept = {}
        for name, value in values.items():
            if (field := self.field(name)) is None:
                raise RowError("INVALID_FIELD", f"No such column '{name}' on sobject of type Lead")
            if not field.updateable:
                raise RowError(
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    "Unable to create/update fields: "
                    f"{name}. Please check the security settings of this field and verify that it is read/write for "
                    "your profile or permission set.",
                    (name,),
                )
            kept[field.name] = coerce(field, value)
        return kept

    def update(self, text_id: str, values: Mapping[str, Any], source: str) -> str:
        """Write some fields of one lead and note it in the history. Returns the 18-character id.

        :param source: who writes: a job's id, ``rest`` or ``page``.
        :raises RowError: the id or a value is refused, or the row is locked.
        """
        if not text_id:
            raise RowError("MISSING_ARGUMENT", "Id not specified in an update call")
        identity = record_id(text_id)
        with self.transaction() as db:
            row = db.execute("SELECT data, deleted FROM lead WHERE id = ?", (identity,)).fetchone()
            if row is None:
                raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            if row[1]:
                raise RowError("ENTITY_IS_DELETED", "entity is deleted")
            data = self._lead(row[0])
            if data["IsConverted"]:
                raise RowError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
            kept = self.checked(values)
            if source != "page" and self.faults.refuses(identity):
                raise RowError("FIELD_CUSTOM_VALIDATION_EXCEPTION", "This lead may not be changed (validation rule)")
            if source != "page" and self.faults.locks(identity):
                raise RowError(
                    "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {identity}"
                )
            changes = {name: [data[name], value] for name, value in kept.items() if data[name] != value}
            at = now_text()
            data.update(kept, LastModifiedDate=at, SystemModstamp=at)
            data["Name"] = f"{data['FirstName'] or ''} {data['LastName']}".strip()
            db.execute("UPDATE lead SET data = ? WHERE id = ?", (json.dumps(data), identity))
            db.execute(
                "INSERT INTO history (lead_id, source, changes, at) VALUES (?, ?, ?, ?)",
                (identity, source, json.dumps(changes), at),
            )
        return identity

    def recycle(self, text_id: str) -> None:
        """Put a lead into the recycle bin, as a person in the org would."""
        self._retire(text_id, "IsDeleted")

    def convert(self, text_id: str) -> None:
        """Convert a lead into an account and a contact, as a person in the org would. It is shown, but fixed."""
        self._retire(text_id, "IsConverted")

    def _retire(self, text_id: str, flag: str) -> None:
        identity = record_id(text_id)
        with self.transaction() as db:
            data = self.get(identity)
            if data is None:
                raise RowError("ENTITY_IS_DELETED", "entity is deleted")
            db.execute(
                "UPDATE lead SET deleted = ?, data = ? WHERE id = ?",
                (flag == "IsDeleted", json.dumps({**data, flag: True}), identity),
            )

    def history(self, lead_id: str | None = None) -> list[dict[str, Any]]:
        """What was written, oldest first: ``{number, lead_id, source, changes: {field: [old, new]}, at}``.

        As in a real org only fields whose value changed are listed; a write that changed none has empty ``changes``.
        """
        where, arguments = ("WHERE lead_id = ?", (lead_id,)) if lead_id else ("", ())
        with self._lock:
            rows = self._db.execute(
                f"SELECT number, lead_id, source, changes, at FROM history {where} ORDER BY number", arguments
            ).fetchall()
        names = ("number", "lead_id", "source", "changes", "at")
        return [dict(zip(names, (*row[:3], json.loads(row[3]), row[4]), strict=True)) for row in rows]

    def open_session(self, token: str) -> None:
        with self.transaction() as db:
            db.execute("INSERT INTO session VALUES (?) ON CONFLICT DO NOTHING", (token,))

    def close_session(self, token: str) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM session WHERE token = ?", (token,))

    def has_session(self, token: str) -> bool:
        with self._lock:
            return self._db.execute("SELECT 1 FROM session WHERE token = ?", (token,)).fetchone() is not None
