"""One look for all pictures, and bytes that depend on the data only."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
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


LABELS = {
    "in_sample": "in sample",
    "cross_fit": "cross-fitted",
    "holdout": "holdout",
    "as_given": "ranking as given",
}


@contextmanager
def picture(path: Path, width: float, height: float, **layout: Any) -> Generator[tuple[Any, Any]]:
    """A figure and its axes, in the look of all pictures; saved as PNG at the end of the block.

    It belongs to no window and to no global state, and its file holds no date and no program name: equal data give
    equal bytes.

    :param width: inches. :param height: likewise.
    :param layout: for ``Figure.subplots``.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(**layout)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
