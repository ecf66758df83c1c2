"""``lead-scoring calibrate --selftest``: does the rule find the truth when the truth is known.

Three worlds, 100 simulated sets each. Few parameters when conversions are few; the right family when they are many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.calibration.cross_fit import CONSTANT, cross_fit
from lead_scoring.calibration.selection import candidate_methods, select
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.model.calibrators import sigmoid
from lead_scoring.settings import CalibrationSettings

REFUSED = "refused"
PASS_SHARE = 0.95


@dataclass(frozen=True)
class World:
    """One kind of truth.

    :param truth: margin to probability.
    :param right: the methods that count as right.
    :param never: methods that must not be chosen in any set.
    """

    name: str
    leads: int
    truth: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    right: tuple[str, ...]
    never: tuple[str, ...] = ()


def _logistic(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    return sigmoid(0.8 * margin - 3.2)


def _step(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flat, with two jumps: no smooth curve follows it."""
    return np.select([margin < 0.0, margin < 1.2], [0.02, 0.09], default=0.30)


WORLDS = (
    World("logistic truth, few leads", 1_739, _logistic, ("shrunk_platt", "intercept", "platt"), ("isotonic",)),
    World("logistic truth, many leads", 20_000, _logistic, ("shrunk_platt", "platt")),
    World("step truth, many leads", 20_000, _step, ("isotonic",)),
)


def selftest(
    settings: CalibrationSettings,
    seed: int = 42,
    sets: int = 100,
    processes: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Count what the rule chooses in each world.

    :returns: ``{"passed", "sets", "worlds": [{"world", "leads", "mean_positives", "chosen": {method: n}, "passed"}]}``.
    """
    if sets < 1:
        raise BadInput(f"sets is {sets}; a self-test needs at least one")
    worlds = []
    with ProcessPoolExecutor(processes) as pool:
        for number, world in enumerate(WORLDS):
            jobs = [(number, seed, index, settings) for index in range(sets)]
            chosen: Counter[str] = Counter()
            positives = []
            for done, (method, count) in enumerate(pool.map(_one_set, jobs), start=1):
                chosen[method] += 1
                positives.append(count)
                if progress is not None:
                    progress(world.name, done, sets)
            right = sum(chosen[method] for method in world.right)
            passed = right >= PASS_SHARE * sets and not any(chosen[method] for method in world.never)
            worlds.append({
                "world": world.name,
                "leads": world.leads,
                "mean_positives": float(np.mean(positives)),
                "chosen": dict(sorted(chosen.items())),
                "right": list(world.right),
                "right_sets": right,
                "passed": passed,
            })
    return {"passed": all(world["passed"] for world in worlds), "sets": sets, "seed": seed, "worlds": worlds}


def _one_set(job: tuple[int, int, int, CalibrationSettings]) -> tuple[str, int]:
    number, seed, index, settings = job
    world = WORLDS[number]
    generator = np.random.default_rng([seed, number, index])
    margin = generator.normal(0.0, 1.0, world.leads)
    target = (generator.random(world.leads) < world.truth(margin)).astype(np.int8)
    positives = int(target.sum())
    methods = candidate_methods(positives)
    fitted = cross_fit(
        margin, target, methods, folds=settings.folds, repeats=settings.repeats, seed=settings.seed + index
    )
    try:
        return select({name: fitted.losses[name] for name in (CONSTANT, *methods)}).method, positives
    except CheckFailed:
        return REFUSED, positives
