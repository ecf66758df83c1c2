"""Switches that make the org misbehave the way real ones do.

Each switch holds a number: 0 is off, a whole number n is "the next n times" (``lock_rows``: the first n attempts of
every row), a fraction below 1 is the chance each time, drawn from a generator of its own with
a seed.
"""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections import Counter
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
    """The switches and what is left of them. Safe for threads.

    ``hits`` counts how often each fault happened.
    """

    def __init__(self, values: dict[str, float] | None = None) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = dict.fromkeys(SWITCHES, 0)
        self._attempts: dict[str, int] = {}
        self.hits: Counter[str] = Counter()
        self._random = _generators(0)
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
                self._random = _generators(int(values["seed"]))
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
            happens = value > 0 and (value >= 1 or self._random[name].random() < value)
            if value >= 1:
                self._values[name] = value - 1
            self.hits[name] += happens
            return happens

    def locks(self, lead_id: str) -> bool:
        """Whether this attempt to write a row finds it locked."""
        with self._lock:
            value = self._values["lock_rows"]
            if value >= 1:
                self._attempts[lead_id] = self._attempts.get(lead_id, 0) + 1
                happens = self._attempts[lead_id] <= value
            else:
                happens = value > 0 and self._random["lock_rows"].random() < value
            self.hits["lock_rows"] += happens
            return happens

    def refuses(self, lead_id: str) -> bool:
        """Whether the validation rule refuses this lead: a fixed share of all leads, by a digest of the id."""
        with self._lock:
            happens = (zlib.crc32(lead_id.encode()) % 10_000) / 10_000 < self._values["reject_rows"]
            self.hits["reject_rows"] += happens
            return happens

    def pause(self) -> None:
        if (seconds := self._values["slow_seconds"]) > 0:
            time.sleep(seconds)


def _generators(seed: int) -> dict[str, random.Random]:
    """One a switch, so what one draws does not depend on how often another is asked."""
    return {name: random.Random(f"{seed} {name}") for name in SWITCHES}


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
