"""A release of its own kind: the champion's scores under another bucket policy.

No comparison of scores can find it better, since every score is the champion's. What it changes is who is called
first, so its buckets are judged: on the holdout, where they have outcomes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation.reliability import wilson
from lead_scoring.model.buckets import BUCKETS
from lead_scoring.packaging.verdict import GateVerdict

SAME = 1e-6  # margins are float32: the same model differs by less, another one by far more


def only_the_policy_differs(
    codes: NDArray[np.int8], margin: NDArray[np.float64], scores: NDArray[np.float64], champion: Any
) -> bool:
    """Whether the same leads have the champion's margins and scores, and some of them another bucket.

    :param codes: the challenger's buckets, 0 (Very Hot) to 3 (Cold), shape (n,). :param margin: likewise.
    :param scores: its calibrated scores, likewise. :param champion: a table with ``margin``, ``lead_score`` and
        ``score_bucket`` of the same leads, in the same order.
    """
    own = ((margin, "margin"), (scores, "lead_score"))
    same = all(np.allclose(values, np.asarray(champion[name], np.float64), rtol=0, atol=SAME) for values, name in own)
    return same and champion["score_bucket"].to_pylist() != [BUCKETS[code] for code in codes]


def judge_policy(codes: NDArray[np.int8], before: NDArray[np.int8], target: NDArray[np.int8]) -> GateVerdict:
    """Accepted unless a better bucket converts worse than the next one beyond noise (95 % intervals do not touch).

    :param codes: buckets under the new policy, shape (n,). :param before: under the champion's. :param target: 0 or 1.
    """
    new, old = _rates(codes, target), _rates(before, target)
    figures = {
        "against": "the champion", "how": "holdout", "leads": len(target), "positives": int(target.sum()),
        "policy_change": {"buckets": new, "champion": old},
    }  # fmt: skip
    on = f"on {len(target)} holdout leads: {_said(new)}; under the champion's policy: {_said(old)}"
    for upper, lower in zip(new, new[1:], strict=False):
        if upper["high"] < lower["low"]:
            why = f"refused: {upper['bucket']} converts worse than {lower['bucket']}, beyond noise, {on}"
            return GateVerdict(False, (why,), figures)
    return GateVerdict(True, (f"accepted as a change of the bucket policy alone, every score stays, {on}",), figures)


def _rates(codes: NDArray[np.int8], target: NDArray[np.int8]) -> list[dict[str, Any]]:
    """Of each bucket that has leads, best first."""
    rows = []
    for code, name in enumerate(BUCKETS):
        outcomes = target[codes == code]
        if len(outcomes):
            low, high = wilson(float(outcomes.sum()), float(len(outcomes)))
            rate = float(outcomes.mean())
            rows.append({"bucket": name, "leads": len(outcomes), "rate": rate, "low": low, "high": high})
    return rows


def _said(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['bucket']} {row['rate']:.1%} of {row['leads']}" for row in rows)
