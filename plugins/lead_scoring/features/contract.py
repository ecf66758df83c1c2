"""The feature contract: which rows may be used, and why the others may not. Built from the catalog with pandera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera

from lead_scoring.catalog import FeatureSet, FeatureSpec
from lead_scoring.lead_ids import valid_lead_ids


@lru_cache(maxsize=8)
def feature_schema(feature_set: FeatureSet) -> pandera.DataFrameSchema:
    """The pandera schema of the feature columns: type, range, missing or not."""
    return pandera.DataFrameSchema(
        {feature.column: _column(feature) for feature in feature_set.features}, strict="filter"
    )


def _column(feature: FeatureSpec) -> pandera.Column:
    return pandera.Column(
        "float64",
        checks=[
            pandera.Check.ge(feature.minimum, error=f"is below {feature.minimum:g}"),
            pandera.Check.le(feature.maximum, error=f"is above {feature.maximum:g}"),
        ],
        nullable=feature.nullable,
    )


def contract_reasons(frame: pd.DataFrame, feature_set: FeatureSet) -> list[str]:
    """Why each row of ``frame`` breaks the catalog's ranges and null rules; an empty text where it does not.

    :param frame: has the feature columns as float64, NaN for missing. Shape (n, at least the columns).
    """
    reasons: list[list[str]] = [[] for _ in range(len(frame))]
    plain = frame[feature_set.columns].reset_index(drop=True)
    try:
        feature_schema(feature_set).validate(plain, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        for column, check, value, place in zip(
            cases["column"], cases["check"], cases["failure_case"], cases["index"], strict=True
        ):
            if check == "not_nullable":
                reasons[int(place)].append(f"{column} is missing")
            else:
                reasons[int(place)].append(f"{column} {float(value):g} {check}")
    return ["; ".join(sorted(items)) for items in reasons]


def lead_id_reasons(lead_ids: Sequence[str | None]) -> list[str]:
    """A reason for each id that Salesforce could not have given to a Lead."""
    valid = valid_lead_ids(lead_ids)
    return [
        "" if good else f"lead_id {text!r} is not an 18-character Lead id (00Q..., checksum)"
        for text, good in zip(lead_ids, valid, strict=True)
    ]


def join_reasons(*columns: Sequence[str]) -> npt.NDArray[np.object_]:
    """One text of all reasons for each row."""
    joined = ["; ".join(text.strip("; ") for text in texts if text) for texts in zip(*columns, strict=True)]
    return np.array(joined, dtype=object)


def count_by_reason(reasons: Sequence[str]) -> dict[str, int]:
    """How many rows broke each rule, without the values: ``{"days_in_gap is below 0": 3}``, most frequent first."""
    counter: Counter[str] = Counter()
    for text in reasons:
        counter.update({_rule(reason) for reason in text.split("; ") if reason})
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _rule(reason: str) -> str:
    words = reason.split(" ")
    if reason.startswith(("lead_id ", "unknown firm ")):
        return "lead_id is not a Lead id" if words[0] == "lead_id" else "unknown firm"
    if reason.startswith("advisor_crd ") and reason.endswith(" is not a number"):
        return "advisor_crd is not a number"
    if len(words) > 3 and words[2] == "is" and words[3] in {"below", "above"}:
        return " ".join([words[0], *words[2:]])
    return reason.split(":")[0]
