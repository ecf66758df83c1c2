"""Do the buckets say anything: shares, conversion with intervals, and findings where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.evaluation import wilson
from lead_scoring.model.buckets import BUCKETS, BucketPolicy
from lead_scoring.settings import BucketSettings

EMPTY = "bucket_empty"
EMPTY_TWICE = "buckets_empty"
FALSE_STOPS = 0.025  # of honest releases, over the three cuts together
DEGENERATE = "bucket_degenerate"
CUT_SAYS_NOTHING = "bucket_cut_says_nothing"
WORSE = "bucket_worse_than_next"
NOT_BETTER = "bucket_not_better_than_next"
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


def empty_buckets(policy: BucketPolicy, scores: NDArray[np.float64]) -> dict[str, str]:
    """Each bucket above Cold that none of these scores falls into, and why: "Warm needs 0.30; the highest ..."."""
    codes, highest = policy.assign(scores), float(np.max(scores))
    return {
        name: f"{name} needs {cut:.2f}; the highest reachable score is {highest:.2f}"
        if cut > highest
        else f"{name} is empty: no reference lead lies between its cut ({cut:.4f}) and the next better one"
        for code, (name, cut) in enumerate(zip(BUCKETS, policy.cuts, strict=False))
        if not (codes == code).any()
    }


def bucket_findings(
    policy: BucketPolicy, scores: NDArray[np.float64], target: NDArray[np.int8], settings: BucketSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What stops a release, and what is only said.

    Stopping, unless ``buckets.on_degenerate`` is ``warn``: more than ``max_share_in_one`` of the leads in one bucket; a
    cut above which leads convert no better than below it, beyond noise; a bucket that converts worse than the next one
    beyond noise (their 95 % intervals do not touch); two buckets above Cold without a lead. A bucket that converts no
    better than the next one within noise stops a release if ``buckets.on_not_better`` is ``refuse``. Said only: one
    empty bucket; a cut that says nothing, within noise; a better bucket whose interval overlaps that of the next one,
    which is the rule and not the exception with some 70 conversions.

    Neighbours are buckets with leads: an empty one between two others has no rate to compare.

    :returns: (findings, warnings), each ``{"code", "subject", "message", "figures"}``.
    """
    rows = bucket_table(policy, scores, target)
    findings: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []
    fullest = max(rows, key=lambda row: float(row["share"]))
    if fullest["share"] > settings.max_share_in_one:
        reasons = empty_buckets(policy, scores).values()
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
    for cut in _cuts_that_say_nothing(policy, scores, target):
        (findings if cut["figures"]["by_chance"] < FALSE_STOPS / len(policy.cuts) else warnings).append(cut)
    empty = _empty(policy, scores)
    warnings += empty
    if len(empty) > 1 and not findings:  # one of the findings above says it already
        names = " and ".join(item["subject"] for item in empty)
        message = f"{names} have no lead: the day's list has no top; use --bucket-policy capacity or retrain"
        findings.append({"code": EMPTY_TWICE, "subject": names, "message": message, "figures": {"empty": len(empty)}})
    filled = [row for row in rows if row["leads"]]
    for upper, lower in zip(filled, filled[1:], strict=False):
        if (found := _neighbours(upper, lower)) is None:
            continue
        stops = found["code"] == WORSE or (found["code"] == NOT_BETTER and settings.on_not_better == "refuse")
        (findings if stops else warnings).append(found)
    if settings.on_degenerate == "warn":
        return [], [*findings, *warnings]
    return findings, warnings


def _empty(policy: BucketPolicy, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """One entry for each bucket above Cold that no reference lead is in."""
    return [
        {
            "code": EMPTY,
            "subject": name,
            "message": f"{why}; see the bucket policies in docs/model.md",
            "figures": {"cuts": list(policy.cuts), "policy": policy.name},
        }
        for name, why in empty_buckets(policy, scores).items()
    ]


def _cuts_that_say_nothing(
    policy: BucketPolicy, scores: NDArray[np.float64], target: NDArray[np.int8]
) -> list[dict[str, Any]]:
    """Cuts whose leads convert no better than those below: sees what small neighbours are too noisy to show.

    ``by_chance`` is how often so few conversions above the cut come about if the scores are right. With 6 leads and no
    conversion that is one case in two, and no reason to stop a release.
    """
    from scipy.stats import binom

    codes = policy.assign(scores)
    found = []
    for code, name in enumerate(BUCKETS[:-1]):
        above, below = codes <= code, codes > code
        if not above.any() or not below.any():
            continue
        better, worse = float(target[above].mean()), float(target[below].mean())
        if better > worse:
            continue
        leads, positives = int(above.sum()), int(target[above].sum())
        # a sum of unequal chances scatters less than a binomial of their mean: this errs towards not stopping
        by_chance = float(binom.cdf(positives, leads, float(scores[above].mean())))
        found.append({
            "code": CUT_SAYS_NOTHING,
            "subject": name,
            "message": (
                f"leads at or above the cut of {name} ({policy.cuts[code]:.4f}) convert at {better:.2%}, those "
                f"below at {worse:.2%}; if the scores were right, {positives} or fewer of these {leads} leads would "
                f"convert in {by_chance:.1%} of cases: leads above a cut must convert better, use fewer buckets or "
                "retrain"
            ),
            "figures": {"above": better, "below": worse, "leads_above": leads, "by_chance": by_chance},
        })
    return found


def _neighbours(upper: dict[str, Any], lower: dict[str, Any]) -> dict[str, Any] | None:
    """What there is to say of two neighbouring buckets; None if the upper one is better beyond noise."""
    rates = (
        f"{upper['bucket']} converts at {upper['rate']:.2%} ({upper['low']:.2%} to {upper['high']:.2%}) "
        f"and {lower['bucket']} at {lower['rate']:.2%} ({lower['low']:.2%} to {lower['high']:.2%})"
    )
    counts = f"{upper['positives']} and {lower['positives']} conversions"
    if upper["high"] < lower["low"]:
        code, said = WORSE, f"the better bucket converts worse, beyond noise ({counts}): use fewer buckets or retrain"
    elif upper["rate"] <= lower["rate"]:
        code, said = NOT_BETTER, f"the better bucket converts no better; the difference is within noise ({counts})"
    elif upper["low"] <= lower["high"]:
        code, said = NOT_SEPARABLE, f"the better bucket converts better, but the intervals overlap ({counts})"
    else:
        return None
    return {
        "code": code,
        "subject": f"{upper['bucket']} / {lower['bucket']}",
        "message": f"{rates}: {said}",
        "figures": {"upper": upper["rate"], "lower": lower["rate"]},
    }
