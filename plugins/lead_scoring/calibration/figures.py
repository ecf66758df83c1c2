"""One look for all pictures, and bytes that depend on the data only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

INK = "#1f2933"
GRID = "#d9dee4"
COLOURS = {
    "uncalibrated": "#8a94a0",
    "isotonic": "#d1495b",
    "platt": "#2a7fb8",
    "chosen": "#1b8a5a",
}
DPI = 150  # 9 inches wide: 1,350 pixels, sharp at the 900 of a README

STYLE: Any = {
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def new_figure(width: float, height: float, **layout: Any) -> tuple[Any, Any]:
    """A figure that belongs to no window and to no global state."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(**layout)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    """PNG without a date or a program name inside: equal data give equal bytes."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
