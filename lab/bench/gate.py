"""``lead-scoring bench gate``: what the release gate says of challengers whose worth is known."""

from __future__ import annotations

from typing import Any

from lab.gate_worlds import gate_selftest
from lead_scoring.settings import load_settings

SETS, QUICK_SETS = 100, 4


def run(quick: bool = False) -> dict[str, Any]:
    """Verdicts over simulated holdouts of 10,000 leads: an idle challenger, and one with a true gain of .02 AUC."""
    return gate_selftest(load_settings().gate, sets=QUICK_SETS if quick else SETS)
