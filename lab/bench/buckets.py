"""``lead-scoring bench buckets``: which releases the bucket check stops, over sets whose truth is known."""

from __future__ import annotations

from typing import Any

from lab.bucket_worlds import bucket_selftest
from lead_scoring.settings import load_settings

SETS, QUICK_SETS = 200, 20


def run(quick: bool = False) -> dict[str, Any]:
    """Honest sets, where a stop is false, and sets in which the 300 leads above the highest cut are truly worse."""
    return bucket_selftest(load_settings().buckets, sets=QUICK_SETS if quick else SETS)
