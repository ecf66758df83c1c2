"""Scoring of tables: Arrow columns in, Arrow columns out, XGBoost in between, one thread a chunk.

XGBoost is given one thread and the chunks are spread over threads instead: then the checks, the calibrator and the
percentiles run beside the trees of the next chunk, where two OpenMP threads would have waited for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lead_scoring.errors import BadInput
from lead_scoring.model.buckets import ACTIONS, BUCKETS
from lead_scoring.model.calibrators.logistic import sigmoid
from lead_scoring.scoring.lead_checks import check_value, short
from lead_scoring.tables.columns import Column, Sample, resolve
from lead_scoring.tables.values import convert, fits

if TYPE_CHECKING:
    import pandas as pd

    from lead_scoring.model.buckets import BucketPolicy
    from lead_scoring.scoring.lead_checks import LeadChecks
    from lead_scoring.scoring.loading import LoadedPackage

CHUNK_ROWS = 65_536
Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


class TableScorer:
    """The part of a :class:`~lead_scoring.scoring.LeadScorer` that deals in Arrow.

    :param margins: features, float32 of shape (n, features), to log-odds: of the booster.
    """

    def __init__(
        self,
        package: LoadedPackage,
        checks: LeadChecks,
        bucket_policy: BucketPolicy,
        margins: Callable[[Matrix], Floats],
        calibrator_digest: str,
    ) -> None:
        self.package, self.checks, self.bucket_policy = package, checks, bucket_policy
        self.margins, self.calibrator_digest = margins, calibrator_digest
        self.reference = np.asarray(package.spec.reference_margins, dtype=np.float64)

    def positions(self, schema: pa.Schema, sample: Sample | None = None) -> list[int]:
        """Where each feature stands in a table, by the model's name or the warehouse's. Other columns are not read.

        :raises BadInput: a feature is missing, there twice, only alike, or not numeric.
        """
        found = self.found(schema.names, sample)
        places = []
        for feature in self.package.spec.features:
            place = schema.names.index(found[feature.column])
            kind = schema.field(place).type
            if not fits(kind, "number") and not (feature.categories and fits(kind, "text")):
                raise BadInput(f"feature {feature.name!r} is of type {kind} in the table; it must be a number")
            places.append(place)
        return places

    def found(self, names: Sequence[str], sample: Sample | None = None) -> dict[str, str]:
        """Feature column, and ``lead_id`` if there is one, to its name in a table."""
        features = self.package.spec.features
        wanted = [
            Column(feature.column, "text" if feature.categories else "number", also=(feature.name,))
            for feature in features
        ]
        wanted.append(Column("lead_id", "lead_id", required=False))
        needs = self.checks.hint
        return resolve(names, wanted, table="the table", sample=sample, needs=needs, library=True)

    def matrix(
        self, batch: pa.RecordBatch, positions: list[int]
    ) -> tuple[Matrix, dict[int, list[str]], dict[int, list[str]]]:
        """The features as float32; for each row that cannot be scored what is wrong with it; and of other rows which
        features were extreme and count as the end of their range.
        """
        matrix = np.empty((batch.num_rows, len(positions)), dtype=np.float32)
        problems: dict[int, list[str]] = {}
        clipped: dict[int, list[str]] = {}
        checks = self.checks
        for place, (feature, bounds, limits, position) in enumerate(
            zip(self.package.spec.features, checks.bounds, checks.limits, positions, strict=True)
        ):
            column = batch.column(position)
            if feature.categories and not fits(column.type, "number"):
                column, unknown = codes_of(convert(column, "text"), feature.categories)
                for row, text in unknown.items():
                    said = f"feature {feature.name!r} is {short(text)}, which is none of its categories"
                    problems.setdefault(row, []).append(said)
            values = convert(column, "number").to_numpy(zero_copy_only=False)
            if feature.missing_values:
                values = np.where(np.isin(values, feature.missing_values), np.nan, values)
            good = (values >= limits[0]) & (values <= limits[1])
            if feature.nullable:
                good |= np.isnan(values)
            if not good.all():
                for row in np.flatnonzero(~good).tolist():
                    _, problem = check_value(float(values[row]), limits, feature.nullable)
                    problems.setdefault(row, []).append(f"feature {feature.name!r} {problem}")
                values = np.where(good, values, 0.0)  # these rows are set aside, their cells only must not overflow
            if limits != bounds:
                for row in np.flatnonzero((values < bounds[0]) | (values > bounds[1])).tolist():
                    clipped.setdefault(row, []).append(feature.name)
                values = np.clip(values, *bounds)
            matrix[:, place] = values
        return matrix, problems, clipped

    def columns(self, margins: Floats) -> dict[str, pa.Array]:
        """Everything that follows from the margins, by column name."""
        package, base_rate = self.package, self.package.spec.base_rate
        scores = package.calibrator.apply(margins)
        codes = pa.array(self.bucket_policy.assign(scores))
        ranks = np.maximum(np.searchsorted(self.reference, margins, side="right") - 1, 0) / 10
        rows = len(margins)
        return {
            "lead_score": pa.array(scores),
            "score_bucket": pa.DictionaryArray.from_arrays(codes, pa.array(BUCKETS)),
            "action_recommended": pa.DictionaryArray.from_arrays(codes, pa.array(ACTIONS)),
            "model_version": constant(package.version, rows),
            "uncalibrated_score": pa.array(sigmoid(margins)),
            "margin": pa.array(margins),
            "percentile": pa.array(ranks) if len(self.reference) else pa.nulls(rows, pa.float64()),
            "lift": pa.array(scores / base_rate) if base_rate else pa.nulls(rows, pa.float64()),
            "bucket_policy": constant(self.bucket_policy.name, rows),
            "calibrator_digest": constant(self.calibrator_digest, rows),
            "manifest_digest": constant(package.manifest_digest, rows),
        }

    def score(self, leads: pd.DataFrame | pa.Table | pa.RecordBatch) -> pd.DataFrame | pa.Table:
        """See :meth:`LeadScorer.score_batch`."""
        if isinstance(leads, pa.RecordBatch):
            leads = pa.Table.from_batches([leads])
        if isinstance(leads, pa.Table):
            return self._score_arrow(leads)
        if type(leads).__module__.partition(".")[0] == "pandas":
            scored = self._score_arrow(self._from_pandas(leads)).to_pandas()
            scored.index = leads.index
            return scored
        raise BadInput(f"leads are of type {type(leads).__name__}; give a list of dicts, a DataFrame or an Arrow table")

    def _from_pandas(self, frame: pd.DataFrame) -> pa.Table:
        """The columns that are scored, one by one, so that a cell that no column can hold is named."""
        names = [name for name in frame.columns if isinstance(name, str)]
        found = self.found(names, lambda name: [cell for cell in frame[name] if _is_there(cell)][:200])
        columns = {}
        for name in found.values():
            try:
                columns[name] = pa.Array.from_pandas(frame[name])
            except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
                columns[name] = self._mixed_column(name, list(frame[name]), error)
        return pa.table(columns)

    def _mixed_column(self, name: str, cells: list[object], error: Exception) -> pa.Array:
        """Numbers of several kinds, where all are numbers. :raises BadInput: names the first cell that is none."""
        for feature, limits in zip(self.package.spec.features, self.checks.limits, strict=True):
            if name in {feature.name, feature.column}:
                values = [check_value(cell, limits, nullable=True) for cell in cells]
                for row, (_, problem) in enumerate(values):
                    if problem:
                        hint = self.checks.hint
                        raise BadInput(f"feature {feature.name!r} {problem} (row {row}); {hint}") from error
                return pa.array([value for value, _ in values], pa.float64())
        if name == "lead_id":
            for row, cell in enumerate(cells):
                if not isinstance(cell, str) and cell is not None and cell == cell:
                    raise BadInput(f"lead_id is {short(cell)} (row {row}); it must be text") from error
        raise BadInput(f"column {name!r} of the table has cells of different kinds; give it one") from error

    def _score_arrow(self, table: pa.Table) -> pa.Table:
        positions = self.positions(table.schema, lambda name: table.column(name).drop_null().slice(0, 200).to_pylist())
        ids = table.schema.get_all_field_indices("lead_id")
        if ids and not fits(table.schema.field(ids[0]).type, "lead_id"):
            raise BadInput(f"lead_id is of type {table.schema.field(ids[0]).type} in the table; it must be text")

        def work(piece: tuple[int, pa.RecordBatch]) -> dict[str, pa.Array]:
            start, batch = piece
            matrix, problems, clipped = self.matrix(batch, positions)
            if problems:
                row, found = min(problems.items())
                lead = short(batch.column("lead_id")[row].as_py()) if "lead_id" in batch.schema.names else "no lead_id"
                more = f" and {len(problems) - 1} more leads" if len(problems) > 1 else ""
                raise BadInput(f"{found[0]} (row {start + row}, lead {lead}{more}); {self.checks.hint}")
            columns = {**self.columns(self.margins(matrix)), "clipped": named(clipped, batch.num_rows)}
            return {"lead_id": batch.column("lead_id"), **columns} if "lead_id" in batch.schema.names else columns

        with ThreadPoolExecutor(threads()) as pool:
            parts = list(pool.map(work, _chunks(table)))
        if not parts:
            parts = [work((0, pa.RecordBatch.from_pylist([], schema=table.schema)))]
        scored = pa.table({name: pa.chunked_array([part[name] for part in parts]) for name in parts[0]})
        # as for single leads: said only where something was clipped
        return scored if scored["clipped"].null_count < scored.num_rows else scored.drop_columns(["clipped"])


def named(clipped: dict[int, list[str]], rows: int) -> pa.Array:
    """Row number to the features that were clipped, as a column of text: names with a comma between, or null."""
    if not clipped:
        return pa.nulls(rows, pa.string())
    return pa.array([", ".join(clipped[row]) if row in clipped else None for row in range(rows)], pa.string())


def constant(text: str, rows: int) -> pa.DictionaryArray:
    """A column with one text in every row, four bytes a row or less."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array([text]))


def _is_there(cell: object) -> bool:
    return cell is not None and cell == cell and type(cell).__name__ not in {"NAType", "NaTType"}


def codes_of(texts: pa.Array, categories: Sequence[str]) -> tuple[pa.Array, dict[int, str]]:
    """The place of each text among the categories as float64, null if missing; and of the unknown ones the row.

    An unknown text gets the code 0: its row is set aside, and only its cell must be in range.
    """
    codes = pc.index_in(texts, value_set=pa.array(categories, pa.string()))
    strange = pc.and_(pc.is_valid(texts), pc.is_null(codes))
    rows = np.flatnonzero(strange.to_numpy(zero_copy_only=False)).tolist()
    return pc.if_else(strange, 0, codes).cast(pa.float64()), {row: texts[row].as_py() for row in rows}


def threads() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    start = 0
    for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
        if batch.num_rows:
            yield start, batch
            start += batch.num_rows
