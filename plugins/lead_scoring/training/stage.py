"""The training stage: labelled leads in, booster, margins of leads it never saw and a report out."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.catalog import FeatureSet
from lead_scoring.evaluation import evaluate, segments
from lead_scoring.settings import TrainingSettings
from lead_scoring.stage import StageOutput
from lead_scoring.training.baselines import compare, fit_logistic_baseline
from lead_scoring.training.booster import fit_booster, margins, matrix
from lead_scoring.training.explain import explain
from lead_scoring.training.lead_keys import refuse_shared
from lead_scoring.training.rows import LeadRows, read_rows
from lead_scoring.training.search import constant_loss, search
from lead_scoring.training.split import Split, describe_given, search_folds, split_rows, stratified_folds

CROSS_FIT_FOLDS = 5
GOLDEN_LEADS = 24
GOLDEN_WITH_MISSING = 8


def train(
    train_files: Sequence[Path],
    *,
    feature_set: FeatureSet,
    as_of: dt.date,
    settings: TrainingSettings,
    label_window_days: int,
    work: Path,
    holdout_files: Sequence[Path] | None = None,
) -> StageOutput:
    """Split by time, search, fit, compare with the baselines, explain.

    :param train_files: Parquet shards of labelled leads.
    :param label_window_days: the gap between the parts.
    :param holdout_files: shards of a holdout table of its own; None: the latest labelled leads are held out.
    :returns: files ``model.ubj``, ``scores.parquet`` (lead_id, pit_date, split, margin, target), ``holdout.parquet``
        (the feature rows of the holdout) and ``training_report.json``.
    :raises BadInput: the rows cannot be trained on, or a lead of the holdout table is among them.
    """
    rows = read_rows(train_files, feature_set)
    given = read_rows(holdout_files, feature_set) if holdout_files else None
    if given is not None:
        refuse_shared(rows, given)
    split = split_rows(rows, settings, label_window_days, 0.0 if given is not None else settings.holdout_share)
    names = feature_set.names
    parts = {name: rows.take(index) for name, index in split.parts.items()}
    if given is not None:
        parts["holdout"] = given
    learn = parts["train"]
    negatives_per_positive = float((len(learn) - learn.target.sum()) / learn.target.sum())
    data = matrix(learn.features, names, learn.target)
    folds = search_folds(rows, split.parts["train"], settings.seed, label_window_days)
    trials = search(
        data,
        folds,
        trials=settings.search_trials,
        seed=settings.seed,
        threads=settings.threads,
        negatives_per_positive=negatives_per_positive,
    )
    chosen = trials[0]
    booster = fit_booster(data, chosen["parameters"], seed=settings.seed, threads=settings.threads)
    logistic = fit_logistic_baseline(learn.features, learn.target, settings.seed)
    scored = {
        name: {
            "booster": margins(booster, matrix(part.features, names)),
            "logistic regression": logistic.decision_function(part.features),
        }
        for name, part in parts.items()
        if len(part)
    }
    if split.how == "cross_fit":
        scored["calibration"] = _cross_fitted(learn, names, chosen["parameters"], settings)
    judged = "holdout" if len(parts["holdout"]) else "calibration"
    how = "holdout" if judged == "holdout" else "cross_fit"
    described = split.describe(rows) if given is None else describe_given(split, rows, given, label_window_days)
    constant = float(np.concatenate([parts["train"].target, parts["calibration"].target]).mean())
    evaluation = evaluate(
        scored[judged]["booster"],
        parts[judged].target,
        how=how,
        resamples=settings.bootstrap,
        seed=settings.seed,
    )
    report = {
        "as_of": as_of.isoformat(),
        "feature_set": {"name": feature_set.name, "digest": feature_set.digest, "features": names},
        "seed": settings.seed,
        "split": described,
        "parameters": chosen["parameters"],
        "chosen": chosen["name"],
        "search": {
            "how": "cross_fit",
            "folds": "inside the train part",
            "candidates": trials,
            "constant": constant_loss(learn.target, folds),
        },
        "in_sample": _in_sample(scored["train"]["booster"], learn),
        "evaluation": evaluation,
        "baselines": compare(
            scored["calibration"],
            parts["calibration"].target,
            scored[judged],
            parts[judged].target,
            constant=constant,
            resamples=settings.bootstrap,
            seed=settings.seed,
            how=how,
        ),
        "segments": {
            "how": how,
            "rows": segments(
                _members(parts[judged], feature_set),
                scored[judged]["booster"],
                parts[judged].target,
                resamples=settings.bootstrap,
                seed=settings.seed,
            ),
        },
        "importance": {
            "how": how if judged == "holdout" else "in_sample",
            **explain(booster, parts[judged].features, parts[judged].target, names, settings.seed),
        },
        "golden": _golden(parts[judged], scored[judged]["booster"], booster, names),
        "libraries": libraries(),
    }
    files = _write(work, booster, parts, scored, split, report)
    ranking = {name: evaluation[name] for name in ("auc_roc", "auc_pr", "top_decile_lift", "top_decile_rate")}
    return StageOutput(
        files=files,
        counts={f"{name}_leads": len(part) for name, part in parts.items()}
        | {f"{name}_positives": int(part.target.sum()) for name, part in parts.items()}
        | {"gap_leads": len(split.gap)},
        figures={
            "split": described["how"],
            "split_note": described["note"],
            "out_of_time": described["out_of_time"],
            "how": how,
            **ranking,
            "chosen": chosen["name"],
            "parameters": chosen["parameters"],
            "best_model": report["baselines"]["best"],
            "top_features": report["importance"]["top_features"],
        },
    )


def libraries() -> dict[str, str]:
    """Versions of what decides a model's bytes and figures."""
    import sklearn

    return {"numpy": np.__version__, "scikit-learn": sklearn.__version__, "xgboost": xgb.__version__}


def _cross_fitted(
    rows: LeadRows, names: list[str], parameters: dict[str, Any], settings: TrainingSettings
) -> dict[str, NDArray[np.float64]]:
    """Margins of every lead from models that never saw it, for tables too small to hold leads out."""
    found = {"booster": np.empty(len(rows)), "logistic regression": np.empty(len(rows))}
    for learn, held in stratified_folds(rows.target, CROSS_FIT_FOLDS, settings.seed):
        data = matrix(rows.features[learn], names, rows.target[learn])
        booster = fit_booster(data, parameters, seed=settings.seed, threads=settings.threads)
        logistic = fit_logistic_baseline(rows.features[learn], rows.target[learn], settings.seed)
        found["booster"][held] = margins(booster, matrix(rows.features[held], names))
        found["logistic regression"][held] = logistic.decision_function(rows.features[held])
    return found


def _in_sample(margin: NDArray[np.float64], rows: LeadRows) -> dict[str, Any]:
    from lead_scoring.evaluation import auc_pr, auc_roc, lift

    return {
        "how": "in_sample",
        "n": len(rows),
        "positives": int(rows.target.sum()),
        "auc_roc": auc_roc(margin, rows.target),
        "auc_pr": auc_pr(margin, rows.target),
        "top_decile_lift": lift(margin, rows.target),
    }


def _members(rows: LeadRows, feature_set: FeatureSet) -> dict[str, NDArray[np.bool_]]:
    """Segments: each feature that is 0 or 1, and quarters of contact where there are dates."""
    found = {}
    for column, name in enumerate(feature_set.names):
        values = rows.features[:, column]
        if set(np.unique(values).tolist()) == {0.0, 1.0}:
            found[name] = values == 1.0
    if rows.dates is not None:
        months = rows.dates.astype("datetime64[M]").astype(np.int64)
        for quarter in np.unique(months // 3):
            label = f"contacted {1970 + int(quarter) // 4} Q{int(quarter) % 4 + 1}"
            found[label] = months // 3 == quarter
    return found


def _golden(
    rows: LeadRows, margin: NDArray[np.float64], booster: xgb.Booster, names: list[str]
) -> list[dict[str, float | None]]:
    """Leads from the whole range of margins and some with missing values: the package stores their answers."""
    order = np.argsort(margin, kind="stable")
    chosen = list(order[np.linspace(0, len(order) - 1, min(GOLDEN_LEADS, len(order))).round().astype(int)])
    chosen += list(np.flatnonzero(np.isnan(rows.features).any(axis=1))[:GOLDEN_WITH_MISSING])
    unique = sorted({int(index) for index in chosen})
    return [
        {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(names, rows.features[index], strict=True)
        }
        for index in unique
    ]


def _write(
    work: Path,
    booster: xgb.Booster,
    parts: dict[str, LeadRows],
    scored: dict[str, dict[str, NDArray[np.float64]]],
    split: Split,
    report: dict[str, Any],
) -> dict[str, Path]:
    files = {name: work / name for name in ("model.ubj", "scores.parquet", "holdout.parquet", "training_report.json")}
    files["model.ubj"].write_bytes(bytes(booster.save_raw("ubj")))
    tables = []
    for name, part in parts.items():
        if name not in scored or (split.how == "cross_fit" and name == "train"):
            continue
        tables.append(
            pa.table({
                "lead_id": part.table.column("lead_id").cast(pa.string()),
                "pit_date": _dates(part),
                "split": pa.array([name] * len(part)),
                "margin": pa.array(scored[name]["booster"]),
                "target": pa.array(part.target),
            })
        )
    pq.write_table(pa.concat_tables(tables), files["scores.parquet"])
    pq.write_table(parts["holdout"].table, files["holdout.parquet"])
    files["training_report.json"].write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    return files


def _dates(rows: LeadRows) -> pa.Array | pa.ChunkedArray:
    if "pit_date" in rows.table.column_names:
        return rows.table.column("pit_date").cast(pa.date32())
    return pa.nulls(len(rows), pa.date32())
