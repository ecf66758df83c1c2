"""The training stage: labelled leads in, one model, margins of leads it never saw and a report out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.catalog import FeatureSet
from lead_scoring.evaluation import auc_pr, auc_roc, evaluate, lift, segments
from lead_scoring.settings import TrainingSettings
from lead_scoring.stage import StageOutput
from lead_scoring.training.baselines import compare, holdout_losses
from lead_scoring.training.explain import explain
from lead_scoring.training.families import Recipe, choose_recipe, family_margins, fit_families, load
from lead_scoring.training.lead_keys import refuse_shared
from lead_scoring.training.rows import LeadRows, read_rows
from lead_scoring.training.split import describe_given, folds_of, split_rows

GOLDEN_LEADS = 24
GOLDEN_WITH_MISSING = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leads:
    """:param learned: the leads that are learned from, and that calibrate by cross-fitting. :param held: the holdout.

    :param described: the split as the report has it. :param gap: how many leads fell between the two.
    """

    learned: LeadRows
    held: LeadRows
    described: Mapping[str, Any]
    gap: int

    @property
    def how(self) -> str:
        return "holdout" if len(self.held) else "cross_fit"

    @property
    def judges(self) -> LeadRows:
        return self.held if len(self.held) else self.learned


@dataclass(frozen=True)
class Fitted:
    """:param families: each as the bytes of one booster, fitted on all leads that are learned from.

    :param judged: family to margins of the leads that judge, by models that did not see them.
    """

    recipe: Recipe
    families: Mapping[str, bytes]
    judged: Mapping[str, Floats]

    @property
    def model(self) -> bytes:
        return self.families[self.recipe.chosen]

    @property
    def margin(self) -> Floats:
        """Of the chosen family, of the leads that judge."""
        return self.judged[self.recipe.chosen]


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
    """Split by time, search and cross-fit the families, choose one, fit it on all leads before the holdout, explain.

    :param train_files: Parquet shards of labelled leads.
    :param label_window_days: the gap between the leads that are learned from and the holdout.
    :param holdout_files: shards of a holdout table of its own; None: the latest labelled leads are held out.
    :returns: files ``model.ubj``, ``scores.parquet`` (lead_id, pit_date, split, margin, target), ``holdout.parquet``
        (the feature rows of the holdout) and ``training_report.json``.
    :raises BadInput: the rows cannot be trained on, or a lead of the holdout table is among them.
    """
    leads = _split(train_files, holdout_files, feature_set, settings, label_window_days)
    names = feature_set.names
    recipe = choose_recipe(leads.learned, names, folds_of(leads.learned), settings)
    families = fit_families(leads.learned, names, recipe, settings)
    judged = family_margins(families, leads.held.features, names) if len(leads.held) else recipe.out_of_fold
    fitted = Fitted(recipe, families, judged)
    report = _report(leads, fitted, feature_set, as_of, settings)
    return StageOutput(_write(work, leads, fitted, report), _counts(leads), _figures(report))


def _split(
    train_files: Sequence[Path],
    holdout_files: Sequence[Path] | None,
    feature_set: FeatureSet,
    settings: TrainingSettings,
    window_days: int,
) -> Leads:
    rows = read_rows(train_files, feature_set)
    if not holdout_files:
        split = split_rows(rows, settings, window_days, settings.holdout_share)
        learned, held = (rows.take(split.parts[name]) for name in ("train", "holdout"))
        return Leads(learned, held, split.describe(rows), len(split.gap))
    given = read_rows(holdout_files, feature_set)
    refuse_shared(rows, given)
    split = split_rows(rows, settings, window_days, 0.0)
    return Leads(rows.take(split.parts["train"]), given, describe_given(split, rows, given, window_days), 0)


def _report(
    leads: Leads, fitted: Fitted, feature_set: FeatureSet, as_of: dt.date, settings: TrainingSettings
) -> dict[str, Any]:
    recipe, judges, names = fitted.recipe, leads.judges, feature_set.names
    drawn = {"resamples": settings.bootstrap, "seed": settings.seed}
    booster = load(fitted.model)
    losses = recipe.losses
    if leads.how == "holdout":
        losses = holdout_losses(recipe.out_of_fold, leads.learned.target, fitted.judged, judges.target)
    members = _members(judges, feature_set)
    return {
        "as_of": as_of.isoformat(),
        "feature_set": {"name": feature_set.name, "digest": feature_set.digest, "features": names},
        "seed": settings.seed,
        "recipe": recipe_of(feature_set, settings),
        "split": leads.described,
        "family": recipe.to_dict(),
        "parameters": recipe.best.parameters,
        "chosen": recipe.chosen,
        "search": {
            "how": "cross_fit",
            "folds": "over all leads before the holdout",
            "candidates": [trial.to_dict() for trial in recipe.trials],
            "constant": float(recipe.losses["constant"].mean()),
        },
        "in_sample": _in_sample(booster, leads.learned, names),
        "evaluation": evaluate(fitted.margin, judges.target, how=leads.how, **drawn),
        "baselines": compare(
            losses, fitted.judged, judges.target, chosen=recipe.chosen, how=leads.how, **drawn
        ),
        "segments": {"how": leads.how, "rows": segments(members, fitted.margin, judges.target, **drawn)},
        "importance": {
            "how": leads.how if leads.how == "holdout" else "in_sample",
            **explain(booster, judges.features, judges.target, names, settings.seed),
        },
        "golden": _golden(judges, fitted.margin, names),
        "libraries": libraries(),
    }  # fmt: skip


def recipe_of(feature_set: FeatureSet, settings: TrainingSettings) -> dict[str, Any]:
    """What makes two releases the same recipe on other data: everything but the seed, the threads and the leads."""
    fixed = {name: value for name, value in dataclasses.asdict(settings).items() if name not in {"seed", "threads"}}
    return {"feature_set": feature_set.digest, **fixed, "libraries": libraries()}


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    split, evaluation = report["split"], report["evaluation"]
    ranking = {name: evaluation[name] for name in ("auc_roc", "auc_pr", "top_decile_lift", "top_decile_rate")}
    return {
        "split": split["how"],
        "split_note": split["note"],
        "out_of_time": split["out_of_time"],
        "how": evaluation["how"],
        **ranking,
        "chosen": report["chosen"],
        "family": report["family"],
        "parameters": report["parameters"],
        "best_model": report["baselines"]["best"],
        "top_features": report["importance"]["top_features"],
    }


def _counts(leads: Leads) -> dict[str, int]:
    parts = {"train": leads.learned, "calibration": leads.learned, "holdout": leads.held}
    return (
        {f"{name}_leads": len(part) for name, part in parts.items()}
        | {f"{name}_positives": int(part.target.sum()) for name, part in parts.items()}
        | {"gap_leads": leads.gap}
    )


def libraries() -> dict[str, str]:
    """Versions of what decides a model's bytes and figures."""
    import sklearn

    return {"numpy": np.__version__, "scikit-learn": sklearn.__version__, "xgboost": xgb.__version__}


def _in_sample(booster: xgb.Booster, rows: LeadRows, names: list[str]) -> dict[str, Any]:
    from lead_scoring.training.booster import margins, matrix

    margin = margins(booster, matrix(rows.features, names))
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


def _golden(rows: LeadRows, margin: Floats, names: list[str]) -> list[dict[str, float | None]]:
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


def _write(work: Path, leads: Leads, fitted: Fitted, report: Mapping[str, Any]) -> dict[str, Path]:
    files = {name: work / name for name in ("model.ubj", "scores.parquet", "holdout.parquet", "training_report.json")}
    files["model.ubj"].write_bytes(fitted.model)
    tables = [_scores("calibration", leads.learned, fitted.recipe.out_of_fold[fitted.recipe.chosen])]
    if len(leads.held):
        tables.append(_scores("holdout", leads.held, fitted.margin))
    pq.write_table(pa.concat_tables(tables), files["scores.parquet"])
    pq.write_table(leads.held.table, files["holdout.parquet"])
    files["training_report.json"].write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    return files


def _scores(split: str, rows: LeadRows, margin: Floats) -> pa.Table:
    known = "pit_date" in rows.table.column_names
    return pa.table({
        "lead_id": rows.table.column("lead_id").cast(pa.string()),
        "pit_date": rows.table.column("pit_date").cast(pa.date32()) if known else pa.nulls(len(rows), pa.date32()),
        "split": pa.array([split] * len(rows)),
        "margin": pa.array(margin),
        "target": pa.array(rows.target),
    })
