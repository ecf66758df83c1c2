"""``calibration_lookup_table.csv``: 100 rows with which plain SQL calibrates, never more than 0.005 away.

The document cuts the raw score into 100 equal bins and takes the calibrator at their centres: a step inside a bin is
missed (largest difference seen: 0.75). Here the *calibrated* range is cut into 100 equal parts. A calibrator increases,
so inside a bin it moves by at most a hundredth of the range, and the middle is at most 0.005 away, whatever its shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.model.calibrators import Calibrator

ROWS = 100
COLUMNS = ("uncalibrated_score", "calibrated_probability", "bin_lower", "bin_upper")  # the document's
TOLERANCE = 0.005
BISECTIONS = 60


def lookup_table(calibrator: Calibrator, raw_score: NDArray[np.float64]) -> NDArray[np.float64]:
    """:param raw_score: uncalibrated scores of the leads, shape (n,): the range that the table covers.

    :returns: shape (100, 4), the columns of ``COLUMNS``. Rows join without a gap; a score belongs to the last row whose
        ``bin_lower`` is at or below it, scores beyond either end to the row at that end.
    """
    first, last = float(raw_score.min()), float(raw_score.max())
    ends = calibrator.predict(np.array([first, last]))
    wanted = np.linspace(ends[0], ends[1], ROWS + 1)
    low, high = np.full(ROWS - 1, first), np.full(ROWS - 1, last)
    for _ in range(BISECTIONS):  # the smallest raw score that reaches each inner level
        middle = (low + high) / 2
        reached = calibrator.predict(middle) >= wanted[1:-1]
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    edges = np.maximum.accumulate(np.r_[first, high, last])
    heights = calibrator.predict(edges)
    # the height just below an edge, so that a jump at the edge does not count for the bin that ends there
    below = np.minimum(calibrator.predict(np.nextafter(edges[1:], -np.inf)), heights[1:])
    below[-1] = heights[-1]
    values = (heights[:-1] + np.maximum(below, heights[:-1])) / 2
    return np.stack([(edges[:-1] + edges[1:]) / 2, values, edges[:-1], edges[1:]], axis=1)


def look_up(table: NDArray[np.float64], raw_score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrated probabilities as the SQL statement finds them: the last row that starts at or below the score."""
    row = np.searchsorted(table[:, 2], raw_score, side="right") - 1
    return np.asarray(table[np.clip(row, 0, len(table) - 1), 1])


def measure(calibrator: Calibrator, table: NDArray[np.float64], raw_score: NDArray[np.float64]) -> dict[str, Any]:
    """Largest difference between lookup and calibrator, on the leads and on a fine grid over their range."""
    grid = np.linspace(float(raw_score.min()), float(raw_score.max()), 100_001)
    found = {}
    for name, scores in (("leads", raw_score), ("grid", grid)):
        found[name] = float(np.abs(look_up(table, scores) - calibrator.predict(scores)).max())
    return {
        "rows": len(table),
        "largest_difference_on_leads": found["leads"],
        "largest_difference_on_grid": found["grid"],
        "tolerance": TOLERANCE,
        "range": [float(raw_score.min()), float(raw_score.max())],
    }


def write_lookup(path: Path, table: NDArray[np.float64]) -> None:
    lines = [",".join(COLUMNS), *(",".join(repr(float(value)) for value in row) for row in table)]
    path.write_text("\n".join(lines) + "\n")
