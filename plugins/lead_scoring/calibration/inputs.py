"""Scores and outcomes, checked before anything is fitted on them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lead_scoring.errors import BadInput
from lead_scoring.model.calibrators import sigmoid
from lead_scoring.tables import Column, OpenTable, take

Floats = NDArray[np.float64]


def check_target(target: ArrayLike, minimum_positives: int, source: str) -> NDArray[np.int8]:
    """:param target: shape (n,). :raises BadInput: a label is not 0 or 1, or a class has too few leads."""
    labels = np.asarray(target)
    try:
        values = labels.astype(np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"target in {source} holds text such as {labels[0]!r}; it must be 0 or 1") from None
    if not len(values):
        raise BadInput(f"{source} has 0 rows; it needs scores with their outcomes")
    wrong = ~np.isin(values, (0.0, 1.0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadInput(
            f"target in {source} is {values[row]:g} in row {row + 1}; it must be 0 or 1 "
            f"({int(wrong.sum())} of {len(values)} rows are neither)"
        )
    positives = int(values.sum())
    if positives in {0, len(values)}:
        raise BadInput(f"target in {source} is {int(values[0])} in all {len(values)} rows; it needs both classes")
    for name, count in (("conversions (target 1)", positives), ("leads with target 0", len(values) - positives)):
        if count < minimum_positives:
            raise BadInput(
                f"{source} has {count} {name} of {len(values)} rows; calibration needs at least {minimum_positives} "
                "(setting calibration.minimum_positives)"
            )
    return values.astype(np.int8)


def check_scores(scores: ArrayLike, source: str, *, column: str = "raw_score", probability: bool = True) -> Floats:
    """:param scores: shape (n,). :raises BadInput: NaN, infinite, outside [0, 1], or all the same."""
    given = np.asarray(scores)
    try:
        values = given.astype(np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"{column} in {source} holds text; it must be numeric") from None
    wrong = ~np.isfinite(values)
    said = "finite (NaN and infinity cannot be calibrated)"
    if not wrong.any() and probability:
        wrong, said = (values < 0) | (values > 1), "between 0 and 1"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadInput(
            f"{column} in {source} is {values[row]:g} in row {row + 1}; it must be {said}; "
            f"{int(wrong.sum())} of {len(values)} rows are not"
        )
    if len(values) and float(np.ptp(values)) == 0.0:
        raise BadInput(f"{column} in {source} is {values[0]:g} in all {len(values)} rows; a constant ranks nothing")
    return values


def read_scores(table: OpenTable, maps: Mapping[str, str] | None = None) -> tuple[Floats, Floats]:
    """Columns ``raw_score`` and ``target`` of a table, or of what ``lead-scoring train`` writes.

    Training writes margins, and says of each lead in which split it is. Those of the split ``calibration`` were given
    by models that had not seen the lead, and a release chooses its calibrator on them: so does this.

    :param maps: name in the table to the column that it is; an empty one: not read.
    :raises BadInput: a column is missing, there twice, only alike, empty in a row, or holds what is no number.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    trained = not maps and {"margin", "split", "target"} <= set(table.names) and "raw_score" not in table.names
    score = "margin" if trained else "raw_score"
    wanted = [Column(score, "number"), Column("target", "flag"), *([Column("split", "text")] if trained else [])]
    with tempfile.TemporaryDirectory(prefix="scores-") as folder:
        taken = take(table, wanted, Path(folder) / "scores.parquet", called="scores file", maps=maps)
        rows = pq.read_table(taken.path)
    if trained:
        rows = rows.filter(pc.equal(rows.column("split"), "calibration")).drop_columns(["split"])
    for name in rows.column_names:
        if missing := rows.column(name).null_count:
            raise BadInput(
                f"{name} in {table.label} is empty in {missing} of {rows.num_rows} rows; leave those leads out"
            )
    scores = rows.column(score).to_numpy()
    return sigmoid(scores) if trained else scores, rows.column("target").to_numpy()
