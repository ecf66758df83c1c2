"""Churn: what another model changes in the day's call list, whatever it gains in log loss.

A sales team reads buckets. Five seeds of one booster on one sample moved 10.8 % of the leads between buckets per pair,
and 47 % of the Hot stayed Hot: that is another morning, for no gain.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation.ranking import top_count
from lead_scoring.model.buckets import BUCKETS
from lead_scoring.packaging.verdict import GateVerdict
from lead_scoring.settings import GateSettings

HOT = 1  # buckets up to this code are Hot or better


def churn(codes: NDArray[np.int8], margin: NDArray[np.float64], champion: Any) -> dict[str, Any]:
    """Bucket moves and overlap of the top decile on the same leads.

    :param codes: the challenger's buckets, 0 (Very Hot) to 3 (Cold), shape (n,). :param margin: its margins.
    :param champion: a table with ``score_bucket`` and ``margin`` of the same leads, in the same order.
    :returns: ``leads``, ``moved``, ``moved_share``, ``hot_before``, ``hot_kept_share`` (None where none was Hot or
        better) and ``top_decile_overlap`` (0 to 1).
    """
    before = np.array([BUCKETS.index(name) for name in champion["score_bucket"].to_pylist()], dtype=np.int8)
    top = top_count(len(codes))
    best, best_before = (
        set(np.argsort(-values, kind="stable")[:top].tolist())
        for values in (margin, np.asarray(champion["margin"], dtype=np.float64))
    )
    hot = before <= HOT
    return {
        "leads": len(codes),
        "moved": int((codes != before).sum()),
        "moved_share": float((codes != before).mean()),
        "hot_before": int(hot.sum()),
        "hot_kept_share": float((codes[hot] <= HOT).mean()) if hot.any() else None,
        "top_decile_overlap": len(best & best_before) / top,
    }


def with_churn(verdict: GateVerdict, moved: dict[str, Any], settings: GateSettings) -> GateVerdict:
    """The verdict with its churn said, and refused where more leads move than ``gate.max_bucket_churn`` allows."""
    share = moved["hot_kept_share"]
    kept = "none was Hot before" if share is None else f"{share:.0%} of Hot or better stay"
    said = (
        f"churn against the champion on {moved['leads']} holdout leads: {moved['moved_share']:.1%} change bucket, "
        f"{kept}, the top deciles share {moved['top_decile_overlap']:.0%}"
    )
    figures = {**verdict.figures, "churn": moved}
    if moved["moved_share"] > settings.max_bucket_churn:
        why = f"refused: more leads change bucket than gate.max_bucket_churn ({settings.max_bucket_churn:.0%}) allows"
        return GateVerdict(False, (why, *verdict.reasons, said), figures)
    return dataclasses.replace(verdict, reasons=(*verdict.reasons, said), figures=figures)
