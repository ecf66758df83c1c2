"""Do the buckets say anything: shares, conversion with intervals, and findings where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation import wilson
from lead_scoring.model.buckets import BUCKETS, BucketPolicy
from lead_scoring.settings import BucketSettings

DEGENERATE = "bucket_degenerate"
NOT_BETTER = "bucket_not_better"
NOT_SEPARABLE = "bucket_not_separable"


def bucket_table(policy: BucketPolicy, scores: NDArray[np.float64], target: NDArray[np.int8]) -> list[dict[str, Any]]:
    """Leads, share, conversions, rate with its 95 % interval and lift of each bucket, best first."""
    codes = policy.assign(scores)
    base = float(target.mean())
    rows = []
    for code, name in enumerate(BUCKETS):
        inside = codes == code
        leads, positives = int(inside.sum()), int(target[inside].sum())
        low, high = wilson(positives, leads)
        rate = positives / leads if leads else None
        rows.append({
            "bucket": name,
            "from_score": policy.cuts[code] if code < len(policy.cuts) else 0.0,
            "leads": leads,
            "share": leads / len(scores),
            "positives": positives,
            "rate": rate,
            "low": low,
            "high": high,
            "lift": rate / base if rate is not None and base else None,
        })
    return rows


def unreachable(policy: BucketPolicy, scores: NDArray[np.float64]) -> list[str]:
    """One sentence for each bucket that no score reaches: "Warm needs 0.30; the highest reachable score is 0.25"."""
    highest = float(np.max(scores))
    return [
        f"{name} needs {cut:.2f}; the highest reachable score is {highest:.2f}"
        for name, cut in zip(BUCKETS, policy.cuts, strict=False)
        if cut > highest
    ]


def bucket_findings(
    policy: BucketPolicy, scores: NDArray[np.float64], target: NDArray[np.int8], settings: BucketSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What stops a release, and what is only said.

    Stopping, unless ``buckets.on_degenerate`` is ``warn``: more than ``max_share_in_one`` of the leads in one bucket,
    or a cut above which leads convert no better than below it. Said only: neighbours whose intervals overlap, which is
    the rule and not the exception with some 70 conversions.

    :returns: (findings, warnings), each ``{"code", "subject", "message", "figures"}``.
    """
    rows = bucket_table(policy, scores, target)
    findings, warnings = [], []
    fullest = max(rows, key=lambda row: float(row["share"]))
    if fullest["share"] > settings.max_share_in_one:
        reasons = unreachable(policy, scores)
        findings.append({
            "code": DEGENERATE,
            "subject": f"bucket policy {policy.name}",
            "message": (
                f"bucket policy {policy.name!r} puts {fullest['share']:.1%} of {len(scores)} reference leads into "
                f"{fullest['bucket']} (limit {settings.max_share_in_one:.0%})"
                + (f": {'; '.join(reasons)}" if reasons else "")
                + "; use --bucket-policy lift or capacity"
            ),
            "figures": {"share": fullest["share"], "highest_score": float(np.max(scores)), "cuts": list(policy.cuts)},
        })
    codes = policy.assign(scores)
    for code, name in enumerate(BUCKETS[:-1]):
        above, below = codes <= code, codes > code
        if not above.any() or not below.any():
            continue
        better, worse = float(target[above].mean()), float(target[below].mean())
        if better <= worse:
            findings.append({
                "code": NOT_BETTER,
                "subject": name,
                "message": (
                    f"leads at or above the cut of {name} ({policy.cuts[code]:.4f}) convert at {better:.2%}, those "
                    f"below at {worse:.2%}; a higher bucket must convert better: use fewer buckets or retrain"
                ),
                "figures": {"above": better, "below": worse, "leads_above": int(above.sum())},
            })
    for upper, lower in zip(rows, rows[1:], strict=False):
        if not upper["leads"] or not lower["leads"]:
            continue
        if upper["low"] <= lower["high"]:
            warnings.append({
                "code": NOT_SEPARABLE,
                "subject": f"{upper['bucket']} / {lower['bucket']}",
                "message": (
                    f"{upper['bucket']} converts at {upper['rate']:.2%} ({upper['low']:.2%} to {upper['high']:.2%}) "
                    f"and {lower['bucket']} at {lower['rate']:.2%} ({lower['low']:.2%} to {lower['high']:.2%}): "
                    f"the intervals overlap with {upper['positives']} and {lower['positives']} conversions"
                ),
                "figures": {"upper": upper["rate"], "lower": lower["rate"]},
            })
    if settings.on_degenerate == "warn":
        return [], [*findings, *warnings]
    return findings, warnings
