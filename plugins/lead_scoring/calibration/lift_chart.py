"""``lift_chart.png``: conversion by tenth of the leads, best first, with intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lead_scoring.calibration.figures import COLOURS, INK, LABELS, picture
from lead_scoring.evaluation import deciles


def draw_lift(path: Path, *, margin: NDArray[np.float64], target: NDArray[np.int8], how: str) -> None:
    """Bars with 95 % Wilson intervals; above each its lift and conversions; a line at the base rate."""
    from matplotlib.ticker import PercentFormatter

    rows = deciles(margin, target)
    x = np.array([row["decile"] for row in rows])
    rate = np.array([row["rate"] for row in rows])
    bars = np.array([[max(0.0, row["rate"] - row["low"]), max(0.0, row["high"] - row["rate"])] for row in rows]).T
    base = float(target.mean())
    colours = np.where(rate >= base, COLOURS["chosen"], COLOURS["uncalibrated"])
    with picture(path, 9, 3.8) as (_, axes):
        axes.bar(x, rate, color=colours, alpha=0.8, width=0.72)
        axes.errorbar(x, rate, yerr=bars, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        axes.axhline(base, color=INK, linewidth=0.9, linestyle=":")
        paper = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        axes.annotate(f"base rate\n{base:.2%}", (10.5, base), ha="left", va="center", fontsize=8, bbox=paper)
        for row, top in zip(rows, rate + bars[1], strict=True):
            text = f"{row['lift']:.2f}x\n{row['positives']:.4g} of {row['leads']:,}"
            axes.annotate(
                text,
                (row["decile"], top),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                bbox=paper,
            )
        axes.set_xticks(x)
        axes.set_xlim(0.5, 11.3)
        axes.set_ylim(0, float((rate + bars[1]).max()) * 1.22)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("tenth of the leads by score, best first")
        axes.set_ylabel("conversion rate")
        axes.grid(axis="x", visible=False)
        axes.set_title(
            f"Lift by decile: {len(target):,} leads, {int(target.sum())} conversions ({LABELS[how]}), 95 % intervals"
        )
