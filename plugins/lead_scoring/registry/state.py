"""What the events add up to: the status of each version and the line of champions."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from lead_scoring.errors import BadInput, CheckFailed, NotFound
from lead_scoring.registry.events import Event
from lead_scoring.registry.verified import manifest_object


@dataclass(frozen=True)
class Entry:
    """One version. ``to_dict`` has the document's keys first ("Registry Entry"), then what the document lacks.

    :param status: staged, production, archived or rejected.
    :param performance: the document's five figures; a figure that could not be had is None.
    :param calibration: method and Brier score.
    :param manifest_digest: SHA-256 of ``manifest_<version>.json``, which holds the SHA-256 of every other file.
    :param feature_set: name of the feature set it was trained on.
    :param run: what made it: the run key, or more.
    :param status_since: when, by ``status_by`` and why (``status_reason``) it came to its present status.
    """

    version_id: str
    status: str
    performance: dict[str, Any]
    calibration: dict[str, Any]
    feature_set: str
    manifest_digest: str
    run: Any
    registered_at: str
    registered_by: str
    status_since: str
    status_by: str
    status_reason: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "version_id": self.version_id,
            "status": self.status,
            "performance": self.performance,
            "calibration": self.calibration,
            "feature_set": self.feature_set,
            "manifest": manifest_object(self.version_id),
            "manifest_digest": self.manifest_digest,
            "run": self.run,
            "registered_at": self.registered_at,
            "registered_by": self.registered_by,
            "status_since": self.status_since,
            "status_by": self.status_by,
            "status_reason": self.status_reason,
        }


@dataclass
class State:
    """The registry after some events.

    :param entries: by version, in the order of registration.
    :param champions: the line of champions, the present one last. A rollback takes the last one off.
    :param rolled_back: the versions that rollbacks took off, the last one first.
    :param last: the last event, None in an empty registry.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    champions: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    last: Event | None = None

    @property
    def champion(self) -> str | None:
        return self.champions[-1] if self.champions else None

    def entry(self, version: str) -> Entry:
        """:raises NotFound: the version is not registered."""
        if version not in self.entries:
            known = ", ".join(self.entries) or "none"
            raise NotFound(f"version {version!r} is not registered; registered are: {known}")
        return self.entries[version]

    def previous_champion(self) -> str:
        """What a rollback restores: the champion before this one, leaving out versions rejected since.

        :raises BadInput: there is none.
        """
        for version in reversed(self.champions[:-1]):
            if version != self.champion and self.entries[version].status != "rejected":
                return version
        raise BadInput(f"champion {self.champion or 'none'} has no earlier champion to roll back to; {self._instead()}")

    def _instead(self) -> str:
        """What to do where a rollback has nowhere to go: the last one that was rolled back, else any other version."""
        others = [item for item in dict.fromkeys(self.rolled_back) if item in self._candidates()]
        if others:
            return (
                f"{', '.join(others)} {'was' if len(others) == 1 else 'were'} in production and rolled back: to bring "
                f"one back, `lead-scoring registry promote {others[0]} --reason WHY`"
            )
        if candidates := self._candidates():
            return f"promote another version: `lead-scoring registry promote {candidates[-1]} --reason WHY`"
        return "no other version can be promoted: release one first (lead_scoring_release, or `lead-scoring release`)"

    def _candidates(self) -> list[str]:
        """Versions that may be promoted, in the order of their registration."""
        return [item.version_id for item in self.entries.values() if item.status in {"staged", "archived"}]

    def check(self, action: str, version: str) -> None:
        """:raises BadInput: the action is not possible from the version's status. :raises NotFound: no such version."""
        status = self.entry(version).status
        possible = {"promote": ("staged", "archived"), "archive": ("staged",), "reject": ("staged", "archived")}
        if status not in possible[action]:
            remedy = (
                "promote another version or roll back first, so that there always is a champion"
                if status == "production"
                else f"only {' or '.join(possible[action])} versions allow it"
            )
            raise BadInput(f"version {version} is {status}, cannot {action} it; {remedy}")

    def apply(self, event: Event) -> None:
        """Take one more event into account. :raises CheckFailed: it cannot have happened in this state."""
        try:
            self._apply(event)
        except (BadInput, KeyError) as error:
            raise CheckFailed(
                f"registry event {event.number} ({event.kind} {event.version_id}) contradicts the events before it "
                f"({error}); restore registry/events from a backup of the store"
            ) from error
        self.last = event

    def _apply(self, event: Event) -> None:
        version = event.version_id
        match event.kind:
            case "register":
                if version in self.entries:
                    raise BadInput(f"version {version} is registered already")
                self.entries[version] = Entry(
                    version_id=version,
                    status="staged",
                    performance=event.details["performance"],
                    calibration=event.details["calibration"],
                    feature_set=event.details["feature_set"],
                    manifest_digest=event.details["manifest_digest"],
                    run=event.details["run"],
                    registered_at=event.at,
                    registered_by=event.actor,
                    status_since=event.at,
                    status_by=event.actor,
                    status_reason=event.reason,
                )
            case "promote":
                self.check("promote", version)
                if self.champion:
                    self._set(self.champion, "archived", event)
                self._set(version, "production", event)
                self.champions.append(version)
            case "rollback":
                if version != self.previous_champion():
                    raise BadInput(f"the champion before was {self.previous_champion()}")
                self._set(self.champions[-1], "archived", event)
                while self.champions[-1] != version:
                    self.rolled_back.insert(0, self.champions.pop())
                self._set(version, "production", event)
            case "archive" | "reject":
                self.check(event.kind, version)
                self._set(version, "archived" if event.kind == "archive" else "rejected", event)
            case _:
                raise BadInput(f"kind {event.kind!r} is unknown; use the library version that wrote it")

    def _set(self, version: str, status: str, event: Event) -> None:
        self.entries[version] = replace(
            self.entries[version],
            status=status,
            status_since=event.at,
            status_by=event.actor,
            status_reason=event.reason,
        )

    def to_json(self) -> bytes:
        """``registry.json``. ``last_event`` says what it was derived from."""
        content = {
            "production": self.champion,
            "models": [entry.to_dict() for entry in self.entries.values()],
            "last_event": self.last.number if self.last else 0,
            "last_event_digest": self.last.digest if self.last else "",
        }
        return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def fold(events: Iterable[Event]) -> State:
    """The state after these events. :raises CheckFailed: they contradict one another."""
    state = State()
    for event in events:
        state.apply(event)
    return state


def moment(at: str | dt.date | dt.datetime) -> str:
    """A point in time as the events write it. A day alone means its end (UTC), so events of that day count.

    :param at: ISO text, a date, or a date-time; without an offset it is UTC.
    :raises BadInput: the text is neither a day nor a time, or it is at the ends of time.
    """
    text = str(at)
    try:
        if isinstance(at, str):
            at = _parsed(at)
        if not isinstance(at, dt.datetime):
            at = dt.datetime.combine(at, dt.time.max)
        at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"time {text!r} cannot be read; give 2024-12-21 or 2024-12-21T06:00:00Z") from error
    if at.year < 1000:  # strftime writes such a year with fewer digits, and the events are compared as text
        raise BadInput(f"time {text!r} is before the year 1000; give one like 2024-12-21T06:00:00Z")
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parsed(text: str) -> dt.date | dt.datetime:
    """A day first: date-time would read the day 20241221 as its midnight."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return dt.datetime.fromisoformat(text)
