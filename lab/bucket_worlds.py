"""Does the bucket check stop the releases that it should, and no others, when the truth is known.

Honest worlds: a lead's chance is a logistic function of the margin, the calibrator is fitted on the very leads that
are checked (as a release does), and whatever looks wrong is chance. They differ in how far the chances spread: with
little spread a handful of leads lies above the highest cut, and by chance none of them converts. Worse worlds are the
same, but of the 300 leads with the highest scores each converts at half the base rate: there the cut lies.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from lead_scoring.calibration.bucket_check import bucket_findings
from lead_scoring.errors import BadInput
from lead_scoring.model.buckets import freeze_policy
from lead_scoring.model.calibrators import fit_shrunk_platt, sigmoid
from lead_scoring.settings import BucketSettings

LEADS = 8_000
BASE = -3.4
SPREADS = (0.4, 0.6, 0.8, 1.0)  # standard deviation of the log-odds; 0.8 gives the sample's AUC of .70 to .77
WORSE_LEADS = 300
WORSE_BY = 0.5
FALSE_STOPS, FOUND = 0.025, 0.95


def bucket_selftest(settings: BucketSettings, *, seed: int = 42, sets: int = 200, processes: int = 2) -> dict[str, Any]:
    """Count what stops a release over ``sets`` honest sets, and over as many whose highest cut is truly worse.

    :returns: ``{"passed", "sets", "leads", "mean_positives", "mean_above_highest_cut", "honest": {code: sets},
        "false_stops", "worse": {code: sets}, "found"}``; passed if at most 2.5 % of the honest sets are stopped and at
        least 95 % of the worse ones.
    """
    if sets < 1:
        raise BadInput(f"sets is {sets}; a self-test needs at least one")
    jobs = [(settings, seed, number, SPREADS[number % len(SPREADS)]) for number in range(sets)]
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            found = list(pool.map(_one_set, jobs))
    else:
        found = list(map(_one_set, jobs))
    honest = Counter(code for item in found for code in item[0])
    worse = Counter(code for item in found for code in item[1])
    stops, seen = sum(bool(item[0]) for item in found), sum(bool(item[1]) for item in found)
    return {
        "passed": stops <= FALSE_STOPS * sets and seen >= FOUND * sets,
        "sets": sets,
        "seed": seed,
        "leads": LEADS,
        "mean_positives": float(np.mean([item[2] for item in found])),
        "mean_above_highest_cut": float(np.mean([item[3] for item in found])),
        "sets_with_fewer_than_20_above_it": sum(item[3] < 20 for item in found),
        "honest": dict(sorted(honest.items())),
        "false_stops": stops,
        "worse": dict(sorted(worse.items())),
        "found": seen,
    }


def _one_set(job: tuple[BucketSettings, int, int, float]) -> tuple[list[str], list[str], int, int]:
    """Codes of the findings of an honest set and of a worse one; conversions and leads above the highest cut."""
    settings, seed, number, spread = job
    generator = np.random.default_rng([seed, number])
    margin = spread * generator.normal(size=LEADS)
    chance = sigmoid(margin + BASE)
    target = (generator.random(LEADS) < chance).astype(np.int8)
    scores = fit_shrunk_platt(margin, target).apply(margin)
    policy = freeze_policy(settings.policy, settings, scores, float(target.mean()))
    said = [item["code"] for item in bucket_findings(policy, scores, target, settings)[0]]
    # the same leads, scored as if the calibrator had come from elsewhere, where the best were still the best
    best = np.argsort(-margin)[:WORSE_LEADS]
    wrong = target.copy()
    wrong[best] = generator.random(WORSE_LEADS) < WORSE_BY * float(target.mean())
    cut = float(scores[best[-1]])
    capped = type(policy)("lift", (cut, min(policy.cuts[1], cut), min(policy.cuts[2], cut)), policy.base_rate)
    worse = [item["code"] for item in bucket_findings(capped, scores, wrong, settings)[0]]
    return said, worse, int(target.sum()), int((scores >= policy.cuts[0]).sum())
