"""``lead-scoring bench intervals``: how often the intervals of the card's deciles hold the truth."""

from __future__ import annotations

from typing import Any

from lab.interval_worlds import interval_selftest

SETS, QUICK_SETS = 1_000, 100


def run(quick: bool = False) -> dict[str, Any]:
    """Coverage of the 95 % interval of each decile's rate and lift, best decile first."""
    return interval_selftest(sets=QUICK_SETS if quick else SETS)
