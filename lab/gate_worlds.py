"""Does the gate say what it should when the truth is known: a challenger that is no better, and one that is.

The worlds: a hidden strength decides who converts, the champion sees it with an error. The idle challenger is the
champion plus noise. The better one sees the strength with a smaller error that correlates 0.9 with the champion's, as
those of two models on the same features do; its AUC is higher by .02.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.errors import BadInput
from lead_scoring.evaluation import auc_roc
from lead_scoring.model.calibrators import fit_platt, sigmoid
from lead_scoring.packaging.gate import gate
from lead_scoring.settings import GateSettings

CALIBRATION_LEADS = 20_000
BASE = -3.62  # about 4 % conversions
IDLE_NOISE = 0.25
BETTER_ERROR, CORRELATION = 0.78, 0.9
REFUSED_SHARE, ACCEPTED_SHARE = 0.95, 0.90


def gate_selftest(
    settings: GateSettings,
    *,
    seed: int = 42,
    sets: int = 100,
    leads: int = 10_000,
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Count the verdicts over simulated holdouts.

    :param leads: size of the holdout.
    :returns: ``{"passed", "sets", "leads", "mean_positives", "mean_auc_gain", "idle": {verdict: n}, "better": {...}}``;
        passed if the idle challenger is accepted at most 5 times in 100 and the better one at least 90.
    """
    if sets < 1:
        raise BadInput(f"sets is {sets}; a self-test needs at least one")
    idle: Counter[str] = Counter()
    better: Counter[str] = Counter()
    positives, gains = [], []
    with ProcessPoolExecutor(processes) as pool:
        jobs = [(seed, index, leads, settings) for index in range(sets)]
        for done, (first, second, count, gain) in enumerate(pool.map(_one_set, jobs), start=1):
            idle[first] += 1
            better[second] += 1
            positives.append(count)
            gains.append(gain)
            if progress is not None:
                progress(done, sets)
    passed = sets - idle["accepted"] >= REFUSED_SHARE * sets and better["accepted"] >= ACCEPTED_SHARE * sets
    return {
        "passed": passed,
        "sets": sets,
        "seed": seed,
        "leads": leads,
        "mean_positives": float(np.mean(positives)),
        "mean_auc_gain": float(np.mean(gains)),
        "idle": dict(sorted(idle.items())),
        "better": dict(sorted(better.items())),
    }


def _one_set(job: tuple[int, int, int, GateSettings]) -> tuple[str, str, int, float]:
    seed, index, leads, settings = job
    generator = np.random.default_rng([seed, index])
    strength, error, other = generator.normal(size=(3, CALIBRATION_LEADS + leads))
    target = (generator.random(len(strength)) < sigmoid(strength + BASE)).astype(np.int8)
    champion = strength + error
    margins = {
        "idle": champion + IDLE_NOISE * other,
        "better": strength + BETTER_ERROR * (CORRELATION * error + np.sqrt(1 - CORRELATION**2) * other),
    }

    def scored(margin: NDArray[np.float64]) -> NDArray[np.float64]:
        fitted = fit_platt(margin[:CALIBRATION_LEADS], target[:CALIBRATION_LEADS])
        return fitted.apply(margin[CALIBRATION_LEADS:])

    judged = target[CALIBRATION_LEADS:]
    standing = scored(champion)
    verdicts = {name: gate(scored(margin), standing, judged, settings).accepted for name, margin in margins.items()}
    gain = auc_roc(margins["better"][CALIBRATION_LEADS:], judged) - auc_roc(champion[CALIBRATION_LEADS:], judged)
    said = {True: "accepted", False: "refused", None: "cannot tell"}
    return said[verdicts["idle"]], said[verdicts["better"]], int(judged.sum()), gain
