"""The figures of the model card: performance, calibration and features, each with how it was obtained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lead_scoring.packaging.markdown import interval, number, percent, sentence, table

TOP = 5

HOW = {
    "holdout": "holdout: leads that neither the model nor the calibrator saw",
    "cross_fit": "cross-fitted: every lead scored by models fitted without it",
    "in_sample": "in sample: fitted and scored on the same leads",
}

TIMED = {True: "out of time", False: "not out of time (see Training Data)"}


def performance(facts: Mapping[str, Any]) -> str:
    found = facts["evaluation"]
    rows = [
        ("AUC-ROC", interval(found["auc_roc"], 4)),
        ("AUC-PR", interval(found["auc_pr"], 4)),
        ("Baseline conversion rate", interval(found["baseline_rate"], 2, percent=True)),
        ("Top decile conversion rate", interval(found["top_decile_rate"], 2, percent=True)),
        ("Top decile lift", interval(found["top_decile_lift"], 2, suffix="x")),
        ("Log loss", interval(found["log_loss"], 6)),
        ("Log loss of the constant", number(found["constant"]["log_loss"], 6)),
        (
            "Log loss skill (share of the constant's loss that is gone)",
            interval(found["log_loss_skill"], 2, percent=True),
        ),
        ("Brier skill", interval(found["brier_skill"], 2, percent=True)),
    ]
    deciles = [
        (
            row["decile"],
            row["leads"],
            f"{row['positives']:.1f}".removesuffix(".0"),
            interval(rate_of(row), 2, percent=True),
            interval({"value": row["lift"], "low": row["lift_low"], "high": row["lift_high"]}, 2, suffix="x"),
        )
        for row in found["deciles"]
    ]
    models = [
        (
            row["model"],
            number(row["log_loss"], 6),
            number(row.get("auc_roc"), 4),
            number(row.get("top_decile_lift"), 2, "x"),
            interval(row.get("worse_than_chosen_by"), 6),
        )
        for row in facts["baselines"]["rows"]
    ]
    return f"""## Performance

{found["n"]:,} leads, {found["positives"]} conversions. {sentence(HOW[found["how"]])}.
{sentence(TIMED[facts["split"]["out_of_time"]])}.
95 % intervals in brackets: by bootstrap ({found["resamples"]} resamples), for deciles exact (Clopper and Pearson).

{table(("Metric", "Value"), rows)}

On the leads that the model was fitted on (in sample) AUC-ROC is {number(facts["in_sample"]["auc_roc"], 4)}:
not a figure to expect.

Tied within the top decile: {percent(found["tied_in_top_decile"])} of its leads share their margin with another.

### Lift by decile

Ranked by the margin; leads with equal margins share their conversions, hence the fractions. The lift by calibrated
score is {number(found["lift_by_calibrated_score"], 2, "x")}.

{table(("Decile", "Leads", "Conversions", "Rate", "Lift"), deciles)}

### Families of models

Chosen by cross-fitting before the holdout was looked at: {facts["family"]["reason"]}.
On the leads that judge: {facts["baselines"]["sentence"]}
All rankings get the same Platt fit, so that only the ranking differs.

{table(("Model", "Log loss", "AUC-ROC", "Lift", "Log loss above the chosen one's"), models)}

{_segments(facts["segments"])}"""


def _segments(segments: Mapping[str, Any]) -> str:
    rows = []
    for row in segments["rows"]:
        if row["too_few"]:
            rows.append((row["segment"], row["n"], row["positives"], "too few", "", ""))
            continue
        rows.append((
            row["segment"],
            row["n"],
            row["positives"],
            interval(row["auc_roc"], 3),
            interval(row["top_decile_lift"], 2, suffix="x"),
            interval(row["rate"], 2, percent=True),
        ))
    if not rows:
        return ""
    return "### By segment\n\n" + table(("Segment", "Leads", "Conversions", "AUC-ROC", "Lift", "Rate"), rows)


def rate_of(row: Mapping[str, Any]) -> dict[str, float]:
    return {"value": row["rate"], "low": row["low"], "high": row["high"]}


def calibration(facts: Mapping[str, Any]) -> str:
    found, before = facts["evaluation"], facts["before_calibration"]
    rows = [
        ("Brier score", number(before["brier"]["value"], 6), interval(found["brier"], 6)),
        ("Log loss", number(before["log_loss"]["value"], 6), interval(found["log_loss"], 6)),
        ("Mean score", percent(before["mean_score"]), percent(found["mean_score"])),
        ("Slope (1 is right)", interval(before["slope"], 3), interval(found["slope"], 3)),
        (
            "Intercept at slope 1, in log-odds (0 is right)",
            interval(before["intercept"], 3),
            interval(found["intercept"], 3),
        ),
        (
            "Expected calibration error",
            number(before["ece"], 4),
            f"{number(found['ece'], 4)} (a perfect model: {number(found['ece_noise_floor']['mean'], 4)}, "
            f"up to {number(found['ece_noise_floor']['p95'], 4)})",
        ),
    ]
    return f"""## Calibration

**Method:** {facts["calibration"]["method"]}. {sentence(facts["selection"]["reason"])}.

{table(("Metric", "Before", "After"), rows)}

{_comparison(facts["comparison"])}

The lookup table has {facts["lookup"]["rows"]} rows and lies at most
{facts["lookup"]["largest_difference_on_leads"]:.6f} from the calibrator on the reference leads."""


def _comparison(comparison: Mapping[str, Any]) -> str:
    if not comparison:
        return "Only the intercept was refreshed; no methods were compared."
    in_sample, fitted = comparison["in_sample"], comparison["cross_fit"]
    first = [
        (row["method"], number(row["brier"], 6), number(row["log_loss"], 6), row["distinct_scores"])
        for row in in_sample["rows"]
    ]
    second = [
        (
            row["method"] + ("" if row["candidate"] else " (not a candidate)"),
            number(row["brier"], 6),
            number(row["log_loss"], 6),
            percent(row["log_loss_skill"]),
            interval(row["log_loss_over_best"], 6),
            interval(row["slope"], 2),
            interval(row["intercept"], 2),
            number(row["ece"], 4),
        )
        for row in fitted["rows"]
    ]
    header = ("Method", "Brier", "Log loss", "Skill", "Log loss above the best", "Slope", "Intercept at slope 1", "ECE")
    return f"""Cross-fitted ({fitted["folds"]} folds, {fitted["repeats"]} repeats; {fitted["n"]:,} leads, \
{fitted["positives"]} conversions):

{table(header, second)}

The document's comparison, **in sample** on the same leads, which isotonic cannot lose:

{table(("Method", "Brier", "Log loss", "Distinct scores"), first)}"""


def key_features(facts: Mapping[str, Any]) -> str:
    importance = facts["importance"]
    lost = {row["feature"]: row for row in importance["permutation"]}
    top = importance["contributions"][:TOP]
    rows = [
        (
            place,
            f"`{row['feature']}`",
            number(row["mean_absolute_log_odds"], 3),
            f"{number(lost[row['feature']]['auc_lost'], 4)} ± {number(lost[row['feature']]['spread'], 4)}",
        )
        for place, row in enumerate(top, start=1)
    ]
    return f"""## Key Features

Top five by mean absolute contribution to the margin, over {importance["leads"]:,} leads ({importance["how"]}).

{table(("", "Feature", "Contribution (log-odds)", "AUC lost when shuffled"), rows)}"""
