"""Where a score came from, and the proof: from the published row back to the features and the model, computed again.

Equal means equal bits: margins are float32 sums in a fixed order, and what follows from them is one vectorised
expression. The promise holds for the libraries that the package names and the same kind of processor; elsewhere
``numpy.exp`` may differ in the last bit, and then this check says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.catalog import row_digest
from lead_scoring.errors import NotFound
from lead_scoring.scoring.scorer import LeadScorer
from lead_scoring.warehouse import Warehouse
from lead_scoring.warehouse.sql import load_sql, load_template

# What a recomputation must give again. feature_digest is computed from the feature row, the others from the model.
PROVED = (
    "feature_digest",
    "margin",
    "uncalibrated_score",
    "lead_score",
    "score_bucket",
    "action_recommended",
    "percentile",
    "lift",
    "bucket_policy",
    "model_version",
    "calibrator_digest",
)
EXAMPLES = 10

ScorerFor = Callable[[str], LeadScorer]


def why(
    warehouse: Warehouse,
    lead_id: str,
    *,
    on: dt.date | None,
    scorer_for: ScorerFor,
    sql_folder: Path,
    shown: Callable[[Mapping[str, Any]], Mapping[str, tuple[Any, bool]]] | None = None,
    run: Callable[[str], Mapping[str, Any] | None] = lambda key: None,
) -> dict[str, Any]:
    """Walk from the value in Salesforce to the data, and compute the score again.

    :param on: the day of the score; None for the latest.
    :param scorer_for: gives the scorer of a version, loaded with all its checks.
    :param shown: given the score row: column of ``lead_scores`` to the value that Salesforce shows now, and whether it
        is the row's. None if Salesforce is not asked.
    :param run: gives what is known of a run key (the inputs of its manifest), None if nothing is.
    :returns: ``score`` (the row), ``features``, ``clipped`` (those that were extreme and
        stand at the end of their range), ``model``, ``run``, ``salesforce``, ``recomputed``, and
        ``differences``: one line each, empty if everything agrees.
    :raises NotFound: the lead has no score on that day; a rejected lead's reasons are in the message.
    """
    score = _score_row(warehouse, lead_id, on, sql_folder)
    scorer = scorer_for(score["model_version"])
    row = _feature_rows(warehouse, scorer, score["as_of"], lead_id, sql_folder)
    recomputed: dict[str, Any] = {}
    features: dict[str, Any] = {}
    clipped: str | None = None
    if row.num_rows != 1:
        differences = [
            f"lead_features has {row.num_rows} rows of the lead on {score['as_of']}; materialize that day again"
        ]
    else:
        features = {feature.column: row.column(feature.column)[0].as_py() for feature in scorer.package.spec.features}
        clipped = row.column("clipped")[0].as_py() if "clipped" in row.column_names else None
        found = _recompute(scorer, row.combine_chunks().to_batches()[0])
        recomputed = {name: found[name][0].as_py() for name in PROVED}
        stored = pa.table({name: [score[name]] for name in PROVED})
        differences = [
            f"{name} is {score[name]!r} in lead_scores, computed again it is {recomputed[name]!r}"
            for name in PROVED
            if _different(stored.column(name).combine_chunks(), found[name]).any()
        ]
    in_salesforce = None if shown is None else shown(score)
    differences += [
        f"{name} is {value!r} in Salesforce, {score[name]!r} in lead_scores"
        for name, (value, same) in (in_salesforce or {}).items()
        if not same
    ]
    return {
        "lead_id": lead_id,
        "as_of": score["as_of"],
        "salesforce": None if in_salesforce is None else {name: value for name, (value, _) in in_salesforce.items()},
        "score": score,
        "features": features,
        "clipped": clipped,
        "model": {
            "version": scorer.model_version,
            "manifest_digest": scorer.package.manifest_digest,
            "registered": scorer.package.registered,
            "data": scorer.package.manifest.details.get("run"),
        },
        "run": run(score["run_key"]),
        "recomputed": recomputed,
        "differences": differences,
    }


def why_all(
    warehouse: Warehouse, run_key: str, *, scorer_for: ScorerFor, sql_folder: Path, work: Path
) -> dict[str, Any]:
    """Compute every published score of a run again, in constant memory.

    :returns: ``run_key``, ``rows``, ``different`` (rows), ``by_column`` {name: rows}, ``examples`` (lead ids).
    :raises NotFound: no published score has this run key.
    """
    heads = warehouse.query(load_sql(sql_folder, "score_run_versions"), {"run_key": run_key}).to_pylist()
    if not heads:
        raise NotFound(
            f"no score of run {run_key!r} is published; the run keys are in lead_scores.run_key, "
            "and those of published runs in `lead-scoring sync status`"
        )
    rows, different, by_column = 0, 0, dict.fromkeys(PROVED, 0)
    examples: list[str] = []
    for number, head in enumerate(heads):
        scorer = scorer_for(head["model_version"])
        columns = [feature.column for feature in scorer.package.spec.features]
        proved = ", ".join(f"scored.{name} AS stored_{name}" for name in PROVED)
        named = ", ".join(f"features.{name}" for name in columns)
        text = load_template(sql_folder / "templates", "scores_with_features", features=named, scores=proved)
        parts = warehouse.export(text, {"run_key": run_key, **head}, work / f"version-{number}", 131_072)
        for part in parts:
            for batch in pq.ParquetFile(part).iter_batches():
                found = _recompute(scorer, batch)
                wrong = np.zeros(batch.num_rows, dtype=bool)
                for name in PROVED:
                    unequal = _different(batch.column(f"stored_{name}"), found[name])
                    by_column[name] += int(unequal.sum())
                    wrong |= unequal
                rows += batch.num_rows
                different += int(wrong.sum())
                for row in np.flatnonzero(wrong)[: EXAMPLES - len(examples)].tolist():
                    examples.append(batch.column("lead_id")[row].as_py())
    return {
        "run_key": run_key,
        "rows": rows,
        "different": different,
        "by_column": {name: count for name, count in by_column.items() if count},
        "examples": examples,
    }


def _score_row(warehouse: Warehouse, lead_id: str, on: dt.date | None, sql_folder: Path) -> dict[str, Any]:
    found = warehouse.query(load_sql(sql_folder, "lead_score_days"), {"lead_id": lead_id, "on_day": on}).to_pylist()
    if found:
        return dict(found[0])
    when = f"on {on}" if on else "on any day"
    reasons = ""
    if "lead_scores_rejected" in warehouse.tables():
        text = load_sql(sql_folder, "lead_rejections")
        rows = warehouse.query(text, {"lead_id": lead_id, "on_day": on}).to_pylist()
        reasons = "".join(f"; it was set aside on {row['as_of']}: {row['reasons']}" for row in rows)
    raise NotFound(f"lead {lead_id!r} has no score {when}{reasons or '; check the id (18 characters) and the day'}")


def _feature_rows(warehouse: Warehouse, scorer: LeadScorer, as_of: dt.date, lead_id: str, sql_folder: Path) -> pa.Table:
    names = [feature.column for feature in scorer.package.spec.features]
    if "clipped" in warehouse.columns("lead_features"):  # not before it existed
        names.append("clipped")
    text = load_template(sql_folder / "templates", "feature_row", features=", ".join(names))
    return warehouse.query(text, {"as_of": as_of, "lead_id": lead_id})


def _recompute(scorer: LeadScorer, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Everything in :data:`PROVED`, from the feature rows of ``batch``."""
    columns = [feature.column for feature in scorer.package.spec.features]
    batch_features = batch.select(columns)
    matrix, _, _ = scorer.tables.matrix(batch_features, list(range(len(columns))))
    found = scorer.tables.columns(scorer.tables.margins(matrix))
    rows: Sequence[Sequence[float]] = np.column_stack([
        batch_features.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in columns
    ]).tolist()
    ids, days = batch.column("lead_id").to_pylist(), batch.column("pit_date").to_pylist()
    found["feature_digest"] = pa.array([
        row_digest(lead_id, day, row) for lead_id, day, row in zip(ids, days, rows, strict=True)
    ])
    return found


def _different(stored: pa.Array, found: pa.Array) -> np.ndarray:
    """Which rows are not the same, to the bit. Null equals null."""
    if pa.types.is_floating(found.type) or pa.types.is_null(found.type):
        left, right = (array.cast(pa.float64()).to_numpy(zero_copy_only=False) for array in (stored, found))
        same = left.view(np.int64) == right.view(np.int64)
        return np.asarray(~(same | (np.isnan(left) & np.isnan(right))))
    left, right = (array.cast(pa.string()).to_numpy(zero_copy_only=False) for array in (stored, found))
    return np.asarray(left != right, dtype=bool)
