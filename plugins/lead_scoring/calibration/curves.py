"""``calibration_curves.png``: score against conversion rate with intervals, and where the scores lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.calibration.figures import COLOURS, INK, LABELS, picture
from lead_scoring.evaluation import reliability
from lead_scoring.model.calibrators import Calibrator, sigmoid

BINS = 10


def draw_curves(
    path: Path,
    *,
    margin: NDArray[np.float64],
    target: NDArray[np.int8],
    alternatives: dict[str, Calibrator],
    chosen: str,
    how: str,
) -> None:
    """Two panels of reliability and one of score histograms.

    The uncalibrated scores reach far beyond the calibrated ones, so they have a panel of their own: on a common axis
    the calibrated curves would be a dot in the corner.

    :param how: how the scores were obtained, for the title: ``holdout`` or ``cross_fit`` or ``in_sample``.
    """
    raw = sigmoid(margin)
    shown = {name: alternatives[name].apply(margin) for name in ("isotonic", "platt", chosen) if name in alternatives}
    base = float(target.mean())
    with picture(path, 9, 6.4, nrows=2, ncols=2, height_ratios=[3, 1.25]) as (figure, axes):
        before, after = axes[0]
        _reliability(before, {"uncalibrated": raw}, target, chosen, base)
        before.set_title("Before calibration")
        _reliability(after, shown, target, chosen, base)
        after.set_title("After calibration")
        figure.suptitle(
            f"{len(target):,} leads, {int(target.sum())} conversions ({LABELS[how]}); bars: 95 % intervals of the rate",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
        _histogram(axes[1][0], {"uncalibrated": raw}, chosen, before.get_xlim())
        _histogram(axes[1][1], shown, chosen, after.get_xlim())


def _colour(name: str, chosen: str) -> str:
    return COLOURS["chosen"] if name == chosen else COLOURS.get(name, INK)


def _label(name: str, chosen: str) -> str:
    return f"{name} (chosen)" if name == chosen else name


def _reliability(
    axes: Any, curves: dict[str, NDArray[np.float64]], target: NDArray[np.int8], chosen: str, base: float
) -> None:
    highest = 0.0
    for index, (name, scores) in enumerate(curves.items()):
        rows = reliability(scores, target, BINS)
        x = np.array([row["score"] for row in rows])
        rate = np.array([row["rate"] for row in rows])
        bars = np.array([[max(0.0, row["rate"] - row["low"]), max(0.0, row["high"] - row["rate"])] for row in rows]).T
        style = {"isotonic": "s", "platt": "^"}.get(name, "o")
        axes.errorbar(
            x, rate, yerr=bars, fmt=f"{style}-", color=_colour(name, chosen), label=_label(name, chosen),
            markersize=4.5, linewidth=1.4, elinewidth=0.9, capsize=2, alpha=0.95,
            zorder=3 + (name == chosen) + 0.1 * index,
        )  # fmt: skip
        highest = max(highest, float(x.max()), float((rate + bars[1]).max()))
    limit = min(1.0, highest * 1.06)
    axes.plot([0, limit], [0, limit], "--", color=INK, linewidth=1, label="score = rate", zorder=2)
    axes.axhline(base, color=INK, linewidth=0.8, linestyle=":", zorder=2, label=f"base rate {base:.2%}")
    axes.set_xlim(0, limit)
    axes.set_ylim(0, min(limit, 1.0))
    axes.set_xlabel("mean score in the bin")
    axes.set_ylabel("conversion rate")
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    axes.legend(loc="upper left", fontsize=8.5)


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0))


def _histogram(axes: Any, curves: dict[str, NDArray[np.float64]], chosen: str, limits: tuple[float, float]) -> None:
    edges = np.linspace(limits[0], limits[1], 41)
    for name, scores in curves.items():
        axes.hist(
            np.clip(scores, *limits), bins=edges, histtype="stepfilled" if name in {chosen, "uncalibrated"} else "step",
            color=_colour(name, chosen), alpha=0.55 if name in {chosen, "uncalibrated"} else 1.0, linewidth=1.3,
        )  # fmt: skip
    axes.set_xlim(*limits)
    axes.set_yscale("log")
    axes.set_xlabel("score (the last bar: and above)")
    axes.set_ylabel("leads (log)")
    _percent(axes.xaxis)
