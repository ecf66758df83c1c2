"""The leak tripwire of a release: is a feature, or the whole table, too good to be known in time?

No test proves a leak. Each looks for one of its usual marks and reports a finding, which stops the release unless a
person accepts it with a reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lead_scoring.catalog import FeatureSet
from lead_scoring.errors import BadInput
from lead_scoring.evaluation import auc_roc, information_value, single_feature_auc, wilson
from lead_scoring.features.leak_history import grown_stronger, model_grew_stronger, portrait
from lead_scoring.stage import StageOutput

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

MAX_ROWS = 20_000  # of each side: intervals are narrow enough by then, and the check stays within seconds
FOLDS = 3
BOOTSTRAP = 200
# The best single features of the document's real leads: AUC .66, a decile at 2.5 times the base rate. In its leaked
# table one bin of days_in_gap converted at more than ten times the base rate.
TOO_GOOD_AUC = 0.80
TOO_GOOD_BIN_LIFT = 5.0
TOO_GOOD_MODEL_AUC = 0.85
TOO_MUCH_FROM_ONE = 0.10  # AUC lost without one feature
# Deliberately high: growth since January 2024 and a firm's 12-month change tell the month by themselves. On the
# synthetic sample, which is honest, training rows and rows to score are told apart with AUC .93, most by these two.
ADVERSARIAL_AUC = 0.97
# Leads alike in one feature, or the few that the model puts first, whose odds of converting are beyond doubt more than
# this multiple of all leads': somebody wrote the outcome there. Of an honest sample's best 10 convert 2 to 4.
KNOWS_ODDS = 15.0
KNOWS_BY_CHANCE = 0.001  # over all values that are looked at
FEW = 5
FIRST = (10, 20, 50)
MISSING_SHIFT = 0.20
MINIMUM_POSITIVES = 20


@dataclass(frozen=True)
class Finding:
    """:param code: stable name of the mark.
    :param subject: the feature, or ``model`` or ``table``.
    """

    code: str
    subject: str
    message: str
    figures: dict[str, Any]


def tripwire(
    train_files: Sequence[Path],
    score_files: Sequence[Path],
    *,
    feature_set: FeatureSet,
    seed: int,
    work: Path,
    last: Mapping[str, Any] | None = None,
) -> StageOutput:
    """Single-feature AUC, information value and best bin; cross-fitted model with drop-one ablation; train versus now.

    :param train_files: training shards; at most 20,000 rows are used, drawn with ``seed``, as many of each class as
        its share.
    :param last: the ``portrait`` in the report of the last release: what grew stronger since is a finding.
    :return: figures ``findings`` and ``features``; file ``leakage.json``.
    :raises BadInput: there is no training row.
    """
    random = np.random.default_rng(seed)
    values, target, keys = _read(train_files, feature_set)
    now, _, _ = _read(score_files, feature_set)
    if not len(target):
        raise BadInput(
            "there is no labelled lead to learn from: a ready table needs the column 'target' with 0 and 1, source "
            "tables need leads contacted longer before the as-of date than the label window"
        )
    rows = _thin(target, random)
    values, target, keys = values[rows], target[rows], [keys[row] for row in rows.tolist()]
    now = now[np.sort(random.permutation(len(now))[:MAX_ROWS])]
    findings: list[Finding] = []
    report: dict[str, Any] = {
        "rows": len(target),
        "positives": int(target.sum()),
        "rows_now": len(now),
        "how": "cross_fit",
        "features": {name: {} for name in feature_set.names},
    }
    if min(int(target.sum()), int((1 - target).sum())) < MINIMUM_POSITIVES:
        report["note"] = f"fewer than {MINIMUM_POSITIVES} leads of one class: single features and ablation not judged"
    else:
        findings += _single_features(values, target, feature_set, seed, report)
        findings += _ablation(values, target, feature_set, seed, report)
        report["portrait"] = portrait(values, target, keys, feature_set.names) | {
            "model_auc": report["model"]["auc"],
            "feature_set": feature_set.name,
        }
        findings += _since_last(last, values, target, report)
    if _same_rows(train_files, score_files):
        report["train_versus_now"] = {"note": "the rows to score are the training rows: nothing to tell apart"}
    elif len(now) >= 100:
        findings += _train_versus_now(values, now, feature_set, seed, report)
    report["findings"] = [asdict(item) for item in findings]
    path = work / "leakage.json"
    path.write_text(json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    return StageOutput(
        files={"leakage.json": path},
        counts={"findings": len(findings), "rows": len(target), "positives": report["positives"]},
        figures=report,
    )


def _read(files: Sequence[Path], feature_set: FeatureSet) -> tuple[Matrix, Labels, list[str]]:
    """Values, targets and what each lead is known by: its id, or its values where the rows were only numbered."""
    tables = [pq.read_table(path, columns=["lead_id", *feature_set.columns, "target"]) for path in files]
    if not tables:
        return np.empty((0, len(feature_set.columns))), np.empty(0, dtype=np.int64), []
    table = pa.concat_tables(tables)
    values = np.column_stack([table.column(name).to_numpy().astype(np.float64) for name in feature_set.columns])
    keys = [
        lead if lead and not lead.startswith("row-") else hashlib.sha256(row.tobytes()).hexdigest()
        for lead, row in zip(table.column("lead_id").to_pylist(), values, strict=True)
    ]
    return values, table.column("target").fill_null(-1).to_numpy().astype(np.int64), keys


def _same_rows(train_files: Sequence[Path], score_files: Sequence[Path]) -> bool:
    """Are most rows to score training rows, as in a table that was brought with its labels?"""
    train, now = (
        {digest for path in files for digest in pq.read_table(path, columns=["feature_digest"]).column(0).to_pylist()}
        for files in (train_files, score_files)
    )
    return len(train & now) > len(now) / 2


def _thin(target: Labels, random: np.random.Generator) -> Labels:
    """Numbers of at most MAX_ROWS rows, the same share of each class."""
    if len(target) <= MAX_ROWS:
        return np.arange(len(target))
    share = MAX_ROWS / len(target)
    kept = [
        random.permutation(np.flatnonzero(target == label))[: int((target == label).sum() * share)] for label in (0, 1)
    ]
    return np.sort(np.concatenate(kept))


def _since_last(
    last: Mapping[str, Any] | None, values: Matrix, target: Labels, report: dict[str, Any]
) -> list[Finding]:
    if not last:
        report["since_last"] = {"note": "there is no last release to compare with"}
        return []
    now = report["portrait"]
    if last.get("feature_set") != now["feature_set"]:
        report["since_last"] = {"note": f"the last release has another feature set, {last.get('feature_set')}"}
        return []
    report["since_last"] = {"rows": last["rows"], "positives": last["positives"]}
    findings = [Finding(*found) for found in grown_stronger(last, values, target, now)]
    if (grown := model_grew_stronger(last, now)) is not None:
        findings.append(Finding("model_grew_stronger", "model", *grown))
    return findings


def _single_features(
    values: Matrix, target: Labels, feature_set: FeatureSet, seed: int, report: dict[str, Any]
) -> list[Finding]:
    findings = []
    base = float(target.mean())
    for place, feature in enumerate(feature_set.features):
        column = values[:, place]
        auc = single_feature_auc(column, target)
        iv = information_value(column, target)
        bin_rate, bin_low, bin_rows = _best_bin(column, target)
        figures = {
            "auc": round(auc, 4),
            "information_value": round(iv, 4),
            "best_bin_lift": round(bin_rate / base, 2),
            "best_bin_lift_low": round(bin_low / base, 2),
            "best_bin_rows": bin_rows,
            "missing_share": round(float(np.isnan(column).mean()), 4),
        }
        report["features"][feature.name] |= figures
        if max(auc, 1 - auc) > TOO_GOOD_AUC:
            findings.append(
                Finding(
                    "single_feature_too_good",
                    feature.name,
                    f"feature {feature.name!r} alone reaches AUC {max(auc, 1 - auc):.3f}, above {TOO_GOOD_AUC}: "
                    "check when its values become known",
                    figures,
                )
            )
        if (known := _knows(column, target, tests=len(feature_set.features))) is not None:
            findings.append(
                Finding(
                    "bin_knows_the_outcome",
                    feature.name,
                    f"{known['positives']} of the {known['rows']} leads with {feature.name!r} at {known['where']} "
                    f"converted, of all leads {base:.1%}: these values were written when the outcome was known",
                    known,
                )
            )
        if bin_low / base > TOO_GOOD_BIN_LIFT:
            findings.append(
                Finding(
                    "single_bin_too_good",
                    feature.name,
                    f"{bin_rows} leads alike in {feature.name!r} convert at {bin_rate / base:.1f} times the base rate "
                    f"(95 % interval from {bin_low / base:.1f}): check when its values become known",
                    figures,
                )
            )
    return findings


def _knows(column: Matrix, target: Labels, tests: int) -> dict[str, Any] | None:
    """Some leads alike in this feature whose odds of converting are, beyond doubt, KNOWS_ODDS times those of all.

    :param tests: how many features are looked at; chance is counted over all their values.
    """
    from scipy.stats import binom

    base = float(target.mean())
    values, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    found = np.bincount(inverse, weights=target, minlength=len(values))
    alike = [
        (f"{values[place]:g}", int(counts[place]), int(found[place]))
        for place in np.flatnonzero(counts >= FEW).tolist()
    ]
    order = _by_chance_within_ties(column)
    for size in FIRST:  # the ends: what was written there need not be one value
        if size <= len(column) // 2:
            for rows, where in ((order[:size], "its lowest values"), (order[-size:], "its highest values")):
                alike.append((where, size, int(target[rows].sum())))
    best: dict[str, Any] | None = None
    for where, size, positives in alike:
        if _odds(wilson(positives, size)[0]) <= KNOWS_ODDS * _odds(base):
            continue
        chance = float(binom.sf(positives - 1, size, base)) * len(alike) * tests
        if chance < KNOWS_BY_CHANCE and (best is None or chance < best["by_chance"]):
            best = {"where": where, "rows": size, "positives": positives, "by_chance": chance}
    return best


def _by_chance_within_ties(values: Matrix) -> Labels:
    """Row numbers in rising order; equal values in a random one, as the rows may be sorted by their outcome."""
    return np.lexsort((np.random.default_rng(0).random(len(values)), values))


def _odds(rate: float) -> float:
    return rate / (1 - rate) if rate < 1 else float("inf")


def _best_bin(column: Matrix, target: Labels, bins: int = 20, minimum: int = 30) -> tuple[float, float, int]:
    """Rate, lower 95 % limit and size of the bin with the highest lower limit; frequent values are bins."""
    present = ~np.isnan(column)
    best = (0.0, 0.0, 0)
    groups = [~present]
    if present.any():
        common, counts = np.unique(column[present], return_counts=True)
        common = common[counts > max(minimum, present.sum() / bins)]
        groups += [column == value for value in common]
        rest = present & ~np.isin(column, common)
        if rest.any():
            edges = np.unique(np.quantile(column[rest], np.linspace(0, 1, bins + 1)))
            number = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, max(len(edges) - 2, 0))
            groups += [rest & (number == place) for place in range(max(len(edges) - 1, 1))]
    for group in groups:
        rows = int(group.sum())
        if rows < minimum:
            continue
        positives = int(target[group].sum())
        low = wilson(positives, rows)[0]
        if low > best[1]:
            best = (positives / rows, low, rows)
    return best


def _cross_fit(values: Matrix, target: Labels, seed: int, columns: Sequence[int] | None = None) -> Matrix:
    """Margins of a small booster for rows it did not see. Shape (n,)."""
    import xgboost
    from sklearn.model_selection import StratifiedKFold

    used = values if columns is None else values[:, list(columns)]
    margin = np.zeros(len(target))
    parameters = {
        "objective": "binary:logistic",
        "max_depth": 3,
        "eta": 0.15,
        "subsample": 0.8,
        "seed": seed,
        "nthread": 1,  # two threads on a busy machine wait for one another: 3 s became 97 s
        "tree_method": "hist",
        "max_bin": 64,
    }
    for fit, check in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(used, target):
        booster = xgboost.train(parameters, xgboost.DMatrix(used[fit], target[fit]), num_boost_round=40)
        margin[check] = booster.predict(xgboost.DMatrix(used[check]), output_margin=True)
    return margin


def _ablation(
    values: Matrix, target: Labels, feature_set: FeatureSet, seed: int, report: dict[str, Any]
) -> list[Finding]:
    findings = []
    margin = _cross_fit(values, target, seed)
    auc = auc_roc(margin, target)
    report["model"] = {"auc": round(auc, 4)}
    if auc > TOO_GOOD_MODEL_AUC:
        findings.append(
            Finding(
                "model_too_good",
                "model",
                f"a small model reaches a cross-fitted AUC of {auc:.3f}, above {TOO_GOOD_MODEL_AUC}: "
                "no honest model of these leads did",
                report["model"],
            )
        )
    best_first = target[_by_chance_within_ties(-margin)]
    for first in FIRST:
        positives = int(best_first[:first].sum())
        if first < len(target) // 2 and _odds(wilson(positives, first)[0]) > KNOWS_ODDS * _odds(float(target.mean())):
            findings.append(
                Finding(
                    "model_knows_the_outcome",
                    "model",
                    f"{positives} of the {first} leads that a small, cross-fitted model puts first converted, of all "
                    f"leads {target.mean():.1%}: something was written when the outcome was known",
                    {"first": first, "positives": positives},
                )
            )
            break
    everything = range(len(feature_set.features))
    for place, feature in enumerate(feature_set.features):
        without = _cross_fit(values, target, seed, [other for other in everything if other != place])
        loss = auc - auc_roc(without, target)
        low, high = _paired_interval(margin, without, target, seed)
        figures = {"auc_lost_without": round(loss, 4), "auc_lost_interval": [round(low, 4), round(high, 4)]}
        report["features"][feature.name] |= figures
        if low > TOO_MUCH_FROM_ONE:
            findings.append(
                Finding(
                    "depends_on_one_feature",
                    feature.name,
                    f"without {feature.name!r} the AUC falls by {loss:.3f} (95 % interval from {low:.3f}): "
                    "check when its values become known",
                    figures,
                )
            )
    return findings


def _paired_interval(first: Matrix, second: Matrix, target: Labels, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of two AUCs on the same leads."""
    random = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(target == 1), np.flatnonzero(target == 0)
    # a positive's share of negatives that it beats: the AUC is its mean over positives
    share = _beaten(first, positive, negative) - _beaten(second, positive, negative)
    draws = random.integers(0, len(positive), (BOOTSTRAP, len(positive)))
    low, high = np.quantile(share[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _beaten(margin: Matrix, positive: Labels, negative: Labels) -> Matrix:
    order = np.sort(margin[negative])
    left = np.searchsorted(order, margin[positive], side="left")
    right = np.searchsorted(order, margin[positive], side="right")
    beaten: Matrix = (left + right) / (2 * len(order))
    return beaten


def _train_versus_now(
    values: Matrix, now: Matrix, feature_set: FeatureSet, seed: int, report: dict[str, Any]
) -> list[Finding]:
    """Can a classifier tell the training rows from the rows to score? Backfilled features make it easy."""
    findings = []
    both = np.vstack([values, now])
    is_now = np.concatenate([np.zeros(len(values), dtype=np.int64), np.ones(len(now), dtype=np.int64)])
    auc = auc_roc(_cross_fit(both, is_now, seed), is_now)
    report["train_versus_now"] = {"auc": round(auc, 4)}
    for place, feature in enumerate(feature_set.features):
        shift = float(np.isnan(now[:, place]).mean() - np.isnan(values[:, place]).mean())
        single = single_feature_auc(both[:, place], is_now)
        figures = {"train_versus_now_auc": round(single, 4), "missing_shift": round(shift, 4)}
        report["features"][feature.name] |= figures
        if abs(shift) > MISSING_SHIFT:
            findings.append(
                Finding(
                    "missing_share_differs",
                    feature.name,
                    f"feature {feature.name!r} is missing {shift:+.0%} more often in rows to score than in training: "
                    "it may be filled in afterwards",
                    figures,
                )
            )
    if auc > ADVERSARIAL_AUC:
        telling = sorted(
            report["features"], key=lambda name: -abs(report["features"][name]["train_versus_now_auc"] - 0.5)
        )
        findings.append(
            Finding(
                "training_is_not_now",
                "table",
                f"a classifier tells training rows from rows to score with AUC {auc:.3f}, above {ADVERSARIAL_AUC}; "
                f"most by {telling[:3]}",
                report["train_versus_now"],
            )
        )
    return findings
