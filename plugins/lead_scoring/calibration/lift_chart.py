"""``lift_chart.png``: conversion by tenth of the leads, best first, with intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lead_scoring.calibration.figures import COLOURS, INK, new_figure, save
from lead_scoring.evaluation import deciles


def draw_lift(path: Path, *, margin: NDArray[np.float64], target: NDArray[np.int8], how: str) -> None:
    """Bars with 95 % Wilson intervals; above each its lift and conversions; a line at the base rate."""
    from matplotlib.ticker import PercentFormatter

    rows = deciles(margin, target)
    figure, axes = new_figure(9, 3.8)
    x = np.array([row["decile"] for row in rows])
    rate = np.array([row["rate"] for row in rows])
    bars = np.array([[max(0.0, row["rate"] - row["low"]), max(0.0, row["high"] - row["rate"])] for row in rows]).T
    base = float(target.mean())
    above = rate >= base
    axes.bar(x, rate, color=np.where(above, COLOURS["chosen"], COLOURS["uncalibrated"]), alpha=0.8, width=0.72)
    axes.errorbar(x, rate, yerr=bars, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
    axes.axhline(base, color=INK, linewidth=0.9, linestyle=":")
    axes.annotate(f"base rate {base:.2%}", (10.45, base), ha="right", va="bottom", fontsize=8.5)
    for row, top in zip(rows, rate + bars[1], strict=True):
        text = f"{row['lift']:.2f}x\n{row['positives']:.4g} of {row['leads']:,}"
        axes.annotate(text, (row["decile"], top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(x)
    axes.set_xlim(0.5, 10.5)
    axes.set_ylim(0, float((rate + bars[1]).max()) * 1.22)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("tenth of the leads by score, best first")
    axes.set_ylabel("conversion rate")
    axes.grid(axis="x", visible=False)
    label = {"in_sample": "in sample", "cross_fit": "cross-fitted", "holdout": "holdout"}[how]
    axes.set_title(f"Lift by decile: {len(target):,} leads, {int(target.sum())} conversions ({label}), 95 % intervals")
    save(figure, path)
