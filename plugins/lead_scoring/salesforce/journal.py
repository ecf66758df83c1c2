"""What a sync is doing right now, kept in the object store so that a retry knows.

``salesforce/active.json`` names the try under way. Its folder holds the rows it means to send (``plan.parquet``) and
``journal.json`` with the ids of its jobs, each stored before the job is given any rows. Every write of the journal has
the precondition that nobody else wrote it, so of two attempts at once the second takes over and the first stops with a
Conflict at its next step.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from lead_scoring.errors import Conflict
from lead_scoring.stage import canonical_json
from lead_scoring.storage import ObjectStore

ACTIVE = "salesforce/active.json"


class Journal:
    """The journal of one try of one run.

    :param data: ``{org_id, run_key, operation, as_of, sequence, done, parts: [{job_id, closed, rows}]}``; ``rows``
        names an object with the numbers of the plan's rows in that job.
    """

    def __init__(self, state: ObjectStore, folder: str, data: dict[str, Any], generation: int) -> None:
        self._state = state
        self.folder = folder
        self.data = data
        self._generation = generation

    @property
    def sequence(self) -> int:
        return int(self.data["sequence"])

    @property
    def org_id(self) -> str:
        return str(self.data["org_id"])

    @property
    def run_key(self) -> str:
        return str(self.data["run_key"])

    def save(self) -> None:
        """:raises Conflict: another attempt has taken over."""
        try:
            self._generation = self._state.write(
                f"{self.folder}/journal.json", canonical_json(self.data), if_generation=self._generation
            )
        except Conflict:
            raise Conflict(
                f"another attempt has taken over the sync {self.run_key} (journal {self.folder}); this one stops here"
            ) from None

    def plan(self) -> Path:
        return self._state.fetch(f"{self.folder}/plan.parquet")

    def add_part(self, rows: list[int]) -> int:
        """Note that these rows of the plan are about to be sent. Returns the number of the part."""
        number = len(self.data["parts"])
        name = f"{self.folder}/part-{number:03d}.json"
        self._state.write(name, canonical_json(rows))
        self.data["parts"].append({"job_id": None, "closed": False, "rows": name})
        self.save()
        return number

    def rows(self, number: int) -> list[int]:
        rows: list[int] = json.loads(self._state.read(self.data["parts"][number]["rows"]))
        return rows

    def set_part(self, number: int, **values: Any) -> None:
        self.data["parts"][number].update(values)
        self.save()

    def finish(self) -> None:
        """The ledger has it all now: what was needed to pick up the try again goes."""
        self.data["done"] = True
        self.save()
        for part in self.data["parts"]:
            self._state.delete(part["rows"])
        self._state.delete(f"{self.folder}/plan.parquet")


def active(state: ObjectStore) -> tuple[dict[str, Any], int]:
    """What ``active.json`` says, and its generation. ``{"sequence": 0}`` and 0 before the first run."""
    data, generation = state.read_generation(ACTIVE)
    return (json.loads(data), generation) if generation else ({"sequence": 0, "folder": None}, 0)


def unfinished(state: ObjectStore) -> Journal | None:
    """The try that was interrupted, taken over from whoever was at it; None if the last one finished."""
    folder = active(state)[0]["folder"]
    if folder is None:
        return None
    data, generation = state.read_generation(f"{folder}/journal.json")
    journal = Journal(state, folder, json.loads(data), generation)
    if journal.data["done"]:
        return None
    journal.data["takeovers"] = journal.data.get("takeovers", 0) + 1
    journal.save()
    return journal


def unfinished_run(state: ObjectStore) -> str | None:
    """The run key of a try that was interrupted. Only looks."""
    folder = active(state)[0]["folder"]
    if folder is None:
        return None
    data = json.loads(state.read(f"{folder}/journal.json"))
    return None if data["done"] else str(data["run_key"])


def begin(state: ObjectStore, org_id: str, run_key: str, operation: str, as_of: str, plan: Path, after: int) -> Journal:
    """Start a try with its own sequence number.

    :param after: sequence number of the last try when this one was prepared.
    :raises Conflict: another sync has started since, so the plan may be out of date.
    """
    standing, generation = active(state)
    sequence = after + 1
    folder = f"salesforce/{sequence:06d}-{run_key}-{uuid.uuid4().hex[:8]}"  # shared with no rival
    data = {"org_id": org_id, "run_key": run_key, "operation": operation, "as_of": as_of, "sequence": sequence}
    data |= {"done": False, "parts": []}
    entry = {"sequence": sequence, "folder": folder}
    try:
        if standing["sequence"] != after:
            raise Conflict(f"try {standing['sequence']} came first")
        state.upload(plan, f"{folder}/plan.parquet")
        journal_generation = state.write(f"{folder}/journal.json", canonical_json(data), if_generation=0)
        state.write(ACTIVE, canonical_json(entry), if_generation=generation)
    except Conflict as conflict:
        raise Conflict(
            f"another sync started while {run_key} was prepared ({conflict}); let it finish, then run again"
        ) from None
    return Journal(state, folder, data, journal_generation)
