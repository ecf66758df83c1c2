"""The append-only log behind the registry.

An event is one object, ``registry/events/00000012.json``, created only if its number is free. So two writers cannot
both append number 12: the slower one is refused, reads what happened and decides anew. Each event carries its own
SHA-256 and that of the event before it, so a changed, removed or inserted event is noticed.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from lead_scoring.errors import CheckFailed
from lead_scoring.stage import canonical_json, sha256_bytes
from lead_scoring.storage import ObjectStore
from lead_scoring.text import MAX_CHARACTERS, one_line

EVENTS = "registry/events/"
REGISTRY_FILE = "registry/registry.json"  # derived from the events, for people; nothing is decided by it
NAME = re.compile(re.escape(EVENTS) + r"\d{8}\.json")
MAX_REASON = 2 * MAX_CHARACTERS  # what a person gave, and who approved it
READERS = 8  # parallel reads of a log that is read for the first time; Cloud Storage answers one in some 30 ms


@dataclass(frozen=True)
class Event:
    """One thing that was done to the registry.

    :param number: place in the log, from 1, without gaps.
    :param kind: register, promote, rollback, archive or reject.
    :param version_id: the version it was done to; of a rollback, the version that is in production again.
    :param at: UTC, ISO-8601 with microseconds. Never before the event in front of it.
    :param actor: who or which run, for example ``cli:maria`` or ``airflow:lead_scoring_release/manual__2024-12-21``.
    :param request: names one request, so that a retry of it is recognised. Empty if the caller gave none.
    :param details: of a registration the digests and figures; of a change of production what was replaced.
    :param previous: digest of the event before, empty for the first.
    """

    number: int
    kind: str
    version_id: str
    at: str
    actor: str
    reason: str
    request: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    previous: str = ""

    @property
    def digest(self) -> str:
        return sha256_bytes(canonical_json(asdict(self)))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "digest": self.digest}

    def to_bytes(self) -> bytes:
        return (json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> Event:
        """:raises CheckFailed: not the bytes that were written; ``source`` is named."""
        try:
            content = json.loads(data)
            digest = content.pop("digest")
            event = cls(**content)
            intact = event.digest == digest and event.to_bytes() == data
        except (ValueError, TypeError, KeyError, AttributeError):
            intact = False
        if not intact:
            raise CheckFailed(
                f"registry event {source} is not as it was written; restore it from a backup of the store"
            )
        return event


class EventLog:
    """Reads and appends events. An event never changes, so each one is read once in the life of this object."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._events: list[Event] = []

    def read(self) -> list[Event]:
        """All events so far, in order.

        :raises CheckFailed: an event is missing or changed, or the chain of digests is broken.
        """
        if not self._events:
            names = [name for name in self.store.list(EVENTS) if NAME.fullmatch(name)]
            for number, name in enumerate(names, 1):
                if name != event_name(number):
                    raise CheckFailed(
                        f"registry event {self.store.uri}/{event_name(number)} is missing, {name} exists; "
                        "restore it from a backup of the store"
                    )
            if len(names) > READERS:  # a short log is read by the loop below
                with ThreadPoolExecutor(READERS) as pool:
                    for data in pool.map(self.store.read, names):
                        self._take(data)
        while True:
            data, generation = self.store.read_generation(event_name(len(self._events) + 1))
            if generation == 0:
                return list(self._events)
            self._take(data)

    def read_whole(self) -> list[Event]:
        """:meth:`read`, and no event is missing at the end. A log without its last events is a valid log; only
        ``registry.json``, which was derived from it, tells.

        :raises CheckFailed: ``registry.json`` was derived from other events, or from more than there are.
        """
        data, generation = self.store.read_generation(REGISTRY_FILE)  # before the log, which then has all its events
        events = self.read()
        if not generation:
            return events
        file, remedy = f"{self.store.uri}/{REGISTRY_FILE}", "restore registry/events from a backup"
        if not events:
            raise CheckFailed(f"{file} exists and the log has no event; {remedy}, or delete registry.json")
        content = derived_content(data)
        number, digest = content.get("last_event"), content.get("last_event_digest")
        if type(number) is not int or number < 1:  # damaged: the next command writes it anew
            return events
        if number > len(events):
            raise CheckFailed(
                f"{file} was derived from {number} events, the log has {len(events)}; "
                f"{remedy}, or delete registry.json if the log is right"
            )
        if digest != events[number - 1].digest:
            raise CheckFailed(
                f"{file} was derived from another event {number} than the log has; "
                f"{remedy}, or delete registry.json if the log is right"
            )
        return events

    @property
    def known(self) -> Sequence[Event]:
        """The events read so far, without looking for more."""
        return self._events

    def append(self, event: Event) -> None:
        """:raises Conflict: the number is taken: somebody else appended first."""
        self.store.write(event_name(event.number), event.to_bytes(), if_generation=0)

    def next(
        self, kind: str, version_id: str, *, clock: dt.datetime, actor: str, reason: str, request: str, **details: Any
    ) -> Event:
        """The event that would follow the ones read so far. Its time is the clock's, unless that went backwards."""
        last = self._events[-1] if self._events else None
        now = clock.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        actor = one_line(actor, "actor", required=True)
        reason = one_line(reason, "reason", maximum=MAX_REASON, required=True)
        return Event(
            number=len(self._events) + 1,
            kind=kind,
            version_id=version_id,
            at=max(now, last.at) if last else now,
            actor=actor,
            reason=reason,
            request=request,
            details=details,
            previous=last.digest if last else "",
        )

    def _take(self, data: bytes) -> None:
        number = len(self._events) + 1
        source = f"{self.store.uri}/{event_name(number)}"
        event = Event.from_bytes(data, source)
        last = self._events[-1] if self._events else None
        if event.number != number or event.previous != (last.digest if last else "") or (last and event.at < last.at):
            raise CheckFailed(
                f"registry event {source} does not follow the one before it; restore both from a backup of the store"
            )
        self._events.append(event)


def derived_content(data: bytes) -> dict[str, Any]:
    """The content of ``registry.json``, empty if it is missing or damaged."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def event_name(number: int) -> str:
    return f"{EVENTS}{number:08d}.json"
