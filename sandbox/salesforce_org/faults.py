"""Switches that make the org misbehave the way real ones do.

Each switch holds a number: 0 is off, a whole number n is "the next n times" (``lock_rows``: the first n attempts of
every row), a fraction below 1 is the chance each time, drawn from a generator with a seed.
"""

from __future__ import annotations

import random
import threading
import time
import zlib
from typing import Any

SWITCHES = {
    "drop_reply": "cut the connection after a write was done, before its reply",
    "unavailable": "answer 503",
    "expire_session": "answer 401 INVALID_SESSION_ID and forget the session",
    "quota_used_up": "answer 403 REQUEST_LIMIT_EXCEEDED",
    "lock_rows": "refuse a row with UNABLE_TO_LOCK_ROW",
    "reject_rows": "refuse a row by a validation rule; a fraction is the share of leads, always the same ones",
    "abort_job": "an administrator aborts a job half-way",
    "unprocessed_rows": "a job fails half-way and leaves rows unprocessed",
    "lose_job": "a finished job is gone before its results were read",
    "slow_seconds": "seconds that every request waits",
    "seed": "of the generator behind chances",
}


class Faults:
    """The switches and what is left of them. Safe for threads."""

    def __init__(self, values: dict[str, float] | None = None) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = dict.fromkeys(SWITCHES, 0)
        self._attempts: dict[str, int] = {}
        self._random = random.Random(0)
        self.set(values or {})

    def set(self, values: dict[str, Any]) -> None:
        """Turn switches; the others stay.

        :raises ValueError: there is no such switch, or its value is not a number of 0 or more.
        """
        for name, value in values.items():
            if name not in SWITCHES:
                raise ValueError(f"fault {name!r} is unknown; the switches are {sorted(SWITCHES)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"fault {name} is {value!r}; it must be a number of 0 or more")
        with self._lock:
            self._values.update(values)
            if "seed" in values:
                self._random = random.Random(int(values["seed"]))
            if "lock_rows" in values:
                self._attempts.clear()

    def clear(self) -> None:
        self.set({name: 0 for name in SWITCHES if name != "seed"})

    def show(self) -> dict[str, float]:
        with self._lock:
            return dict(self._values)

    def hit(self, name: str) -> bool:
        """Whether the fault happens this time. Uses up one of "the next n"."""
        with self._lock:
            value = self._values[name]
            if value <= 0:
                return False
            if value < 1:
                return self._random.random() < value
            self._values[name] = value - 1
            return True

    def locks(self, lead_id: str) -> bool:
        """Whether this attempt to write a row finds it locked."""
        with self._lock:
            value = self._values["lock_rows"]
            if value <= 0:
                return False
            if value < 1:
                return self._random.random() < value
            self._attempts[lead_id] = self._attempts.get(lead_id, 0) + 1
            return self._attempts[lead_id] <= value

    def refuses(self, lead_id: str) -> bool:
        """Whether the validation rule refuses this lead: a fixed share of all leads, by a digest of the id."""
        with self._lock:
            share = self._values["reject_rows"]
        return share > 0 and (zlib.crc32(lead_id.encode()) % 10_000) / 10_000 < share

    def pause(self) -> None:
        if (seconds := self._values["slow_seconds"]) > 0:
            time.sleep(seconds)


def parse_faults(text: str) -> dict[str, float]:
    """``"drop_reply=2,lock_rows=0.1"`` as a mapping.

    :raises ValueError: a part is not ``name=number``.
    """
    values: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        try:
            values[name] = int(number) if number.isdigit() else float(number)
        except ValueError:
            raise ValueError(f"fault {part!r} is not name=number; the switches are {sorted(SWITCHES)}") from None
    return values
