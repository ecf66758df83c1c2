"""``model_card_<v>.md``: the document's card, with intervals and with how each figure was obtained."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lead_scoring.catalog import FeatureSet
from lead_scoring.model.buckets import ACTIONS, BUCKETS
from lead_scoring.packaging.markdown import interval, number, percent, sentence, table

HOW = {
    "holdout": "holdout: leads that neither the booster nor the calibrator saw",
    "cross_fit": "cross-fitted: every lead scored by models fitted without it",
    "in_sample": "in sample: fitted and scored on the same leads",
}


def model_card(
    version: str,
    as_of: dt.date,
    feature_set: FeatureSet,
    facts: Mapping[str, Any],
    libraries: Mapping[str, str],
    history: Sequence[Mapping[str, Any]],
) -> str:
    """:param facts: the details of the manifest (see ``package``). :param history: registry entries, oldest first."""
    sections = [
        _title(version, as_of, facts),
        _overview(feature_set, facts),
        _performance(facts),
        _calibration(facts),
        _features(facts),
        _training(facts),
        _architecture(feature_set, facts),
        _interpretation(facts),
        _audit(facts),
        _gate(facts),
        _limits(facts),
        _maintenance(facts),
        _provenance(version, feature_set, facts, libraries),
        _history(version, facts, history),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _title(version: str, as_of: dt.date, facts: Mapping[str, Any]) -> str:
    verdict = facts["gate"] or {}
    said = {True: "accepted by the release gate", False: "refused by the release gate", None: "the gate cannot tell"}
    return f"""# Lead Scoring Model Card

**Version:** {version}
**As of:** {as_of.isoformat()}
**Status at packaging:** {said[verdict.get("accepted")]}; the registry says what is in production"""


def _overview(feature_set: FeatureSet, facts: Mapping[str, Any]) -> str:
    return f"""## Model Overview

The probability that a lead has a call scheduled within 30 days of first contact.

- **Algorithm:** XGBoost (gradient boosting), {facts["parameters"]["n_estimators"]} trees
- **Calibration method:** {facts["calibration"]["method"]} ({facts["selection"]["rule"]} rule)
- **Features:** {len(feature_set.features)} (feature set `{feature_set.name}`)
- **Bucket policy:** {facts["bucket_policy"]["name"]}"""


def _performance(facts: Mapping[str, Any]) -> str:
    found = facts["evaluation"]
    rows = [
        ("AUC-ROC", interval(found["auc_roc"], 4)),
        ("AUC-PR", interval(found["auc_pr"], 4)),
        ("Baseline conversion rate", interval(found["baseline_rate"], 2, percent=True)),
        ("Top decile conversion rate", interval(found["top_decile_rate"], 2, percent=True)),
        ("Top decile lift", interval(found["top_decile_lift"], 2, suffix="x")),
        ("Log loss", interval(found["log_loss"], 6)),
        ("Log loss of the constant", number(found["constant"]["log_loss"], 6)),
        ("Log loss skill (share of the constant's loss that is gone)", percent(found["log_loss_skill"])),
        ("Brier skill", percent(found["brier_skill"])),
    ]
    deciles = [
        (
            row["decile"],
            row["leads"],
            f"{row['positives']:g}",
            interval(_rate(row), 2, percent=True),
            f"{row['lift']:.2f}x",
        )
        for row in found["deciles"]
    ]
    models = [
        (
            row["model"],
            number(row["log_loss"], 6),
            number(row.get("auc_roc"), 4),
            number(row.get("top_decile_lift"), 2, "x"),
            interval(row.get("worse_than_booster_by"), 6),
        )
        for row in facts["baselines"]["rows"]
    ]
    return f"""## Performance

{found["n"]:,} leads, {found["positives"]} conversions. {sentence(HOW[found["how"]])}. 95 % bootstrap intervals
({found["resamples"]} resamples) in brackets.

{table(("Metric", "Value"), rows)}

On the leads that the booster was fitted on (in sample) AUC-ROC is {number(facts["in_sample"]["auc_roc"], 4)}: not a
figure to expect.

### Lift by decile

Ranked by the margin; the lift by calibrated score is {number(found["lift_by_calibrated_score"], 2, "x")}.

{table(("Decile", "Leads", "Conversions", "Rate", "Lift"), deciles)}

### Against the baselines

{facts["baselines"]["sentence"]} All rankings get the same Platt fit, so that only the ranking differs.

{table(("Model", "Log loss", "AUC-ROC", "Lift", "Log loss above the booster's"), models)}

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


def _rate(row: Mapping[str, Any]) -> dict[str, float]:
    return {"value": row["rate"], "low": row["low"], "high": row["high"]}


def _calibration(facts: Mapping[str, Any]) -> str:
    found, before = facts["evaluation"], facts["before_calibration"]
    rows = [
        ("Brier score", number(before["brier"]["value"], 6), interval(found["brier"], 6)),
        ("Log loss", number(before["log_loss"]["value"], 6), interval(found["log_loss"], 6)),
        ("Mean score", percent(before["mean_score"]), percent(found["mean_score"])),
        ("Slope (1 is right)", number(before["slope"], 3), number(found["slope"], 3)),
        ("Intercept (0 is right)", number(before["intercept"], 3), number(found["intercept"], 3)),
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

Lookup table: {facts["lookup"]["rows"]} rows, at most {facts["lookup"]["largest_difference_on_leads"]:.6f} from the
calibrator on the reference leads."""


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
            number(row["slope"], 2),
            number(row["ece"], 4),
        )
        for row in fitted["rows"]
    ]
    return f"""Cross-fitted ({fitted["folds"]} folds, {fitted["repeats"]} repeats; {fitted["n"]:,} leads, \
{fitted["positives"]} conversions):

{table(("Method", "Brier", "Log loss", "Skill", "Log loss above the best", "Slope", "ECE"), second)}

The document's comparison, **in sample** on the same leads, which isotonic cannot lose:

{table(("Method", "Brier", "Log loss", "Distinct scores"), first)}"""


def _features(facts: Mapping[str, Any]) -> str:
    importance = facts["importance"]
    lost = {row["feature"]: row for row in importance["permutation"]}
    top = importance["contributions"][:5]
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


def _training(facts: Mapping[str, Any]) -> str:
    split = facts["split"]
    rows = [
        (
            name,
            f"{split['parts'][name]['leads']:,}",
            split["parts"][name]["positives"],
            "{first} to {last}".format(**split["parts"][name]) if "first" in split["parts"][name] else "no dates",
        )
        for name in ("train", "calibration", "holdout")
        if name in split["parts"]
    ]
    return f"""## Training Data

{sentence(split["note"])}. {split["gap_leads"]:,} leads fell into a gap and were left out.

{table(("Part", "Leads", "Conversions", "Contacted"), rows)}"""


def _architecture(feature_set: FeatureSet, facts: Mapping[str, Any]) -> str:
    trials = [
        (
            row["name"],
            number(row["log_loss"], 6),
            row["parameters"]["n_estimators"],
            row["parameters"]["max_depth"],
            f"{row['parameters']['scale_pos_weight']:.4g}",
        )
        for row in facts["search"]["candidates"]
    ]
    listed = "\n".join(f"{place}. `{name}`" for place, name in enumerate(feature_set.names, start=1))
    return f"""## Model Architecture

### Hyper-parameters

```json
{json.dumps(facts["parameters"], indent=2, sort_keys=True)}
```

Chosen by cross-fitted log loss inside the train part, after a Platt fit:

{table(("Candidate", "Log loss", "Trees", "Depth", "scale_pos_weight"), trials)}

### Feature set

{listed}"""


def _interpretation(facts: Mapping[str, Any]) -> str:
    rows = []
    for row, action in zip(facts["buckets"]["rows"], ACTIONS, strict=True):
        rate = "no leads" if row["rate"] is None else interval(_rate(row), 2, percent=True)
        rows.append((
            row["bucket"],
            "below" if row["bucket"] == BUCKETS[-1] else f"{row['from_score']:.4f} and more",
            action,
            f"{row['leads']:,} ({percent(row['share'], 1)})",
            rate,
            number(row["lift"], 2, "x"),
        ))
    notes = "".join(f"\n- {warning['message']}" for warning in facts["warnings"])
    return f"""## Usage

### Score interpretation

`lead_score` is a probability: of 100 leads with 0.05, about five convert. Cut points are frozen in the package
(policy `{facts["bucket_policy"]["name"]}`, base rate {percent(facts["base_rate"])}). The document's absolute thresholds
(0.7 / 0.5 / 0.3) cannot be reached at such a base rate.

{table(("Bucket", "Score", "Action", "Reference leads", "Conversion", "Lift"), rows)}
{notes}"""


def _audit(facts: Mapping[str, Any]) -> str:
    findings = facts["findings"]
    if not facts["leakage"]:
        said = "The leak tripwire was not run."
    elif not findings:
        said = "The leak tripwire found nothing."
    else:
        said = f"{len(findings)} findings:"
    lines = "".join(f"\n- **{item['code']}** ({item['subject']}): {item['message']}" for item in findings)
    accepted = facts["accepted_findings"]
    verdict = f"\n\nAccepted, because: {accepted}" if findings and accepted else ""
    return f"## Leak Audit and Findings\n\n{said}\n{lines}{verdict}"


def _gate(facts: Mapping[str, Any]) -> str:
    gate = facts["gate"]
    if not gate:
        return "## Release Gate\n\nNot run."
    against = gate.get("champion") or "no champion: the first release must beat the constant base rate"
    lines = "\n".join(f"- {reason}" for reason in gate["reasons"])
    return f"## Release Gate\n\nAgainst {against}.\n\n{lines}"


def _limits(facts: Mapping[str, Any]) -> str:
    found, split = facts["evaluation"], facts["split"]["how"]
    timed = (
        "out of time" if split.startswith("time_ordered") else "not out of time (no contact dates, or too few leads)"
    )
    return f"""## Limitations

1. **Few conversions:** {found["positives"]} decide every figure above; read the intervals, not the points.
2. **Time:** the figures are {timed}. Conversion rates move (2.88 % to 4.20 % between two of the document's samples).
3. **Feature dependencies:** end dates arrive late. Figures hold only where every row carries the day it became known.
4. **Contacted leads only:** the label exists for leads that somebody chose to contact."""


def _maintenance(facts: Mapping[str, Any]) -> str:
    return f"""## Maintenance

- **Retrain:** quarterly, or when the gate would accept a challenger.
- **Monitor:** conversion by bucket, monthly, when the 30-day window has passed.
- **Alert:** top-decile lift below 2.5x (here {number(facts["performance"]["top_decile_lift"], 2, "x")}).
- **Base rate moved:** refresh the intercept (`lead-scoring calibrate --intercept-only`); no retraining needed."""


def _provenance(version: str, feature_set: FeatureSet, facts: Mapping[str, Any], libraries: Mapping[str, str]) -> str:
    run = [
        (stage, f"`{entry['key']}`", f"`{entry['digest'][:16]}`")
        for stage, entry in facts["run"].items()
        if isinstance(entry, dict) and {"key", "digest"} <= set(entry)
    ]
    used = ", ".join(f"{name} {number_}" for name, number_ in sorted(libraries.items()))
    return f"""## Provenance

{table(("Stage", "Key", "Digest"), run)}

- **Feature set digest:** `{feature_set.digest[:16]}`
- **Code version:** `{facts["code_version"]}`
- **Libraries:** {used}
- **Digests of all files:** `manifest_{version}.json`"""


def _history(version: str, facts: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    found = facts["evaluation"]
    rows = [
        (
            entry["version_id"],
            entry.get("status", ""),
            number(entry.get("performance", {}).get("test_auc_roc"), 4),
            number(entry.get("performance", {}).get("top_decile_lift"), 2, "x"),
            entry.get("calibration", {}).get("method", ""),
        )
        for entry in history
        if entry["version_id"] != version
    ]
    rows.append((
        f"**{version}**", "this version", number(found["auc_roc"]["value"], 4),
        number(found["top_decile_lift"]["value"], 2, "x"), facts["calibration"]["method"],
    ))  # fmt: skip
    return "## Version History\n\n" + table(("Version", "Status then", "AUC-ROC", "Lift", "Calibration"), rows)
