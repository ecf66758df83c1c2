"""``model_card_<v>.md``: the document's card, with intervals and with how each figure was obtained."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lead_scoring.catalog import FeatureSet
from lead_scoring.model.buckets import ACTIONS, BUCKETS
from lead_scoring.model.one_booster import AVERAGE, BOOSTER, LOGISTIC
from lead_scoring.packaging.card_figures import TIMED, TOP, calibration, key_features, performance, rate_of
from lead_scoring.packaging.markdown import interval, number, percent, sentence, table
from lead_scoring.packaging.standing import RECENT
from lead_scoring.text import escape_markdown

BUCKETS_HOW = {
    "calibration cross_fit + holdout": (
        "leads before the holdout, by margins of models that did not see them, and holdout leads"
    ),
    "in_sample": "the leads that the calibrator was fitted on, in sample",
}
ALGORITHM = {
    LOGISTIC: "logistic regression on quantile ranks; the XGBoost boosters were fitted too and are reported below",
    AVERAGE: "average in log-odds of the searched XGBoost boosters and a logistic regression on quantile ranks",
    BOOSTER: "XGBoost (gradient boosting), {trees} trees",
}
LIFT_LIMIT = 2.5
REASONS = 8  # reasons for rejection that are listed, most frequent first


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
        performance(facts),
        calibration(facts),
        key_features(facts),
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

- **Version:** {version}
- **As of:** {as_of.isoformat()}
- **Status at packaging:** {said[verdict.get("accepted")]}; the registry says what is in production"""


def _overview(feature_set: FeatureSet, facts: Mapping[str, Any]) -> str:
    return f"""## Model Overview

The probability that a lead has a call scheduled within 30 days of first contact.

- **Algorithm:** {ALGORITHM[facts["family"]["chosen"]].format(trees=facts["parameters"]["n_estimators"])}
- **Calibration method:** {facts["calibration"]["method"]} ({facts["selection"]["rule"]} rule)
- **Features:** {len(feature_set.features)} (feature set `{feature_set.name}`)
- **Bucket policy:** {facts["bucket_policy"]["name"]}"""


def _training(facts: Mapping[str, Any]) -> str:
    split = facts["split"]
    rows = []
    names = {"train": "train", "calibration": "calibration", "holdout": "holdout", RECENT: "recent: intercept only"}
    for name, said in names.items():
        if (part := split["parts"].get(name)) is not None:
            contacted = f"{part['first']} to {part['last']}" if "first" in part else "no dates"
            rows.append((said, f"{part['leads']:,}", part["positives"], contacted))
    return f"""## Training Data

{sentence(split["note"])}. {split["gap_leads"]:,} leads fell into a gap and were left out.
The leads that train also calibrate: each by the margin of models that were fitted without it.

{table(("Part", "Leads", "Conversions", "Contacted"), rows)}

{_rows(facts["run"], "of the recent leads " if RECENT in split["parts"] else "")}"""


def _rows(run: Mapping[str, Any], whose: str) -> str:
    """What the feature stage took in and set aside, where the run says so. :param whose: empty: those trained on."""
    counts, figures = run.get("counts", {}), run.get("features", {})
    if "rows_in" not in counts:
        return ""
    aside = counts.get("rows_rejected", 0)
    said = f"Of {counts['rows_in']:,} rows {whose}{aside:,} were set aside by the feature contract."
    if counts.get("recycled"):
        said += f" {counts['recycled']:,} recycled leads, whose call lies before their contact, are among these."
    if counts.get("open_twins"):
        said += f" {counts['open_twins']:,} of the leads to score share their advisor with another open lead."
    if clipped := figures.get("clipped_by_feature"):
        listed = ", ".join(f"`{name}` {rows:,}" for name, rows in clipped.items())
        said += f" Extreme values that count as the end of their range: {listed}."
    reasons = figures.get("rejected_by_reason", {})
    frequent = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:REASONS]
    rows = [(escape_markdown(reason), count) for reason, count in frequent]
    return said + ("\n\n" + table(("Reason", "Rows"), rows) if rows else "")


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
    trials.append(("the constant", number(facts["search"]["constant"], 6), "-", "-", "-"))
    listed = "\n".join(f"{place}. `{name}`" for place, name in enumerate(feature_set.names, start=1))
    return f"""## Model Architecture

### Hyper-parameters of the best booster

```json
{json.dumps(facts["parameters"], indent=2, sort_keys=True)}
```

Searched by cross-fitted log loss before the holdout, after a Platt fit on the other folds:

{table(("Candidate", "Log loss", "Trees", "Depth", "scale_pos_weight"), trials)}

### Feature set

{listed}"""


def _interpretation(facts: Mapping[str, Any]) -> str:
    rows = []
    for row, action in zip(facts["buckets"]["rows"], ACTIONS, strict=True):
        rate = "no leads" if row["rate"] is None else interval(rate_of(row), 2, percent=True)
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
are 0.7, 0.5 and 0.3; the highest reference score is {facts["highest_score"]:.4f}.

Obtained from: {BUCKETS_HOW[facts["buckets"]["how"]]}.

{table(("Bucket", "Score", "Action", "Reference leads", "Conversion", "Lift"), rows)}
{notes}"""


def _audit(facts: Mapping[str, Any]) -> str:
    findings = facts["findings"]
    if not facts["leakage"]:
        said = "The leak tripwire was not run"
        said += ": nothing was trained for this version." if RECENT in facts["split"]["parts"] else "."
    elif not findings:
        said = "The leak tripwire found nothing. No test proves that there is no leak."
    else:
        said = f"Findings: {len(findings)}."
    lines = "".join(
        f"\n- **{item['code']}** ({escape_markdown(item['subject'])}): {escape_markdown(item['message'])}"
        for item in findings
    )
    accepted = facts["accepted_findings"]
    verdict = f"\n\nAccepted, because: {escape_markdown(accepted)}" if findings and accepted else ""
    return f"## Leak Audit and Findings\n\n{said}\n{lines}{verdict}\n\n{_alone(facts['leakage'] or {})}"


def _alone(leakage: Mapping[str, Any]) -> str:
    """The features that say most alone: the first place to look for a leak."""
    measured = leakage.get("features", {})
    rows = [
        (
            f"`{name}`",
            number(found["auc"], 3),
            number(found["information_value"], 3),
            number(found.get("missing_share"), 3),
        )
        for name, found in sorted(measured.items(), key=lambda item: -float(item[1]["auc"]))[:TOP]
        if {"auc", "information_value"} <= set(found)
    ]
    return table(("Feature alone", "AUC", "Information value", "Missing share"), rows) if rows else ""


def _gate(facts: Mapping[str, Any]) -> str:
    gate = facts["gate"]
    if not gate:
        return "## Release Gate\n\nNot run."
    against = gate.get("champion") or "no champion: the first release must beat the constant base rate"
    lines = "\n".join(f"- {reason}" for reason in gate["reasons"])
    return f"## Release Gate\n\nAgainst {against}.\n\n{lines}"


def _limits(facts: Mapping[str, Any]) -> str:
    found = facts["evaluation"]
    timed = TIMED[facts["split"]["out_of_time"]]
    return f"""## Limitations

1. **Few conversions:** {found["positives"]} decide every figure above; read the intervals, not the points.
2. **Time:** the figures are {timed}. Conversion rates move (2.88 % to 4.20 % between two of the document's samples).
3. **Feature dependencies:** end dates arrive late. Figures hold only where every row carries the day it became known.
4. **Contacted leads only:** the label exists for leads that somebody chose to contact."""


def _maintenance(facts: Mapping[str, Any]) -> str:
    return f"""## Maintenance

- **Retrain:** quarterly, or when the gate would accept a challenger.
- **Monitor:** conversion by bucket, monthly, when the 30-day window has passed.
- **Alert:** {_lift_alert(facts)}
- **Base rate moved:** refresh the intercept (`lead-scoring calibrate --intercept-only`); no retraining needed."""


def _lift_alert(facts: Mapping[str, Any]) -> str:
    """The alarm of the document's users, without the false ones: a point estimate fires by chance in 18 % of checks."""
    found = facts["evaluation"]["top_decile_lift"]
    here = f"here {interval(found, 2, suffix='x')}"
    limit = f"top-decile lift below {LIFT_LIMIT}x, when the upper end of its interval is below too"
    return f"{limit} ({here}: {'**raised**' if found['high'] < LIFT_LIMIT else 'not raised'})."


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
