"""The feature contract: which rows may be used, and why the others may not. Built from the catalog with pandera.

Reasons are kept as ``{row number: text}``: few rows have any, and a list of empty texts would cost more than the check.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pandera

from lead_scoring.catalog import FeatureSet, FeatureSpec
from lead_scoring.lead_ids import valid_lead_ids
from lead_scoring.text import shown

Reasons = dict[int, str]

# What differs from row to row in a reason: values are left out when reasons are counted.
_VALUES = (
    (re.compile(r"^(\S+) .* (is none of its categories)$"), r"\1 \2"),
    (re.compile(r"^(lead_id) .* (is not .*)$"), r"\1 \2"),
    (re.compile(r"^(advisor_crd) .* (is not a number)$"), r"\1 \2"),
    (re.compile(r"^(unknown firm) .*$"), r"\1"),
    (re.compile(r"^(\S+) \S+ (is (?:below|above) .*)$"), r"\1 \2"),
    (re.compile(r"^(target) is \S+, (not 0 or 1)$"), r"\1 is \2"),
)


@lru_cache(maxsize=8)
def feature_schema(feature_set: FeatureSet) -> pandera.DataFrameSchema:
    """The pandera schema of the feature columns after :func:`clip`: type, range, missing or not."""
    return pandera.DataFrameSchema({feature.column: _column(feature) for feature in feature_set.features})


def encode(frame: pd.DataFrame, feature_set: FeatureSet) -> Reasons:
    """Turn texts into the codes of their categories and numbers that mean "missing" into NaN, in ``frame`` itself.

    :param frame: the feature columns; one with categories holds texts, or the codes themselves.
    :returns: the rows with a text that is no category, and which.
    """
    found: list[Reasons] = []
    for feature in feature_set.features:
        values = frame[feature.column]
        if feature.categories and not pd.api.types.is_numeric_dtype(values):
            codes = {text: float(place) for place, text in enumerate(feature.categories)}
            known = values.map(codes)
            strange = (known.isna() & values.notna()).to_numpy(bool)
            found.append({
                place: f"{feature.column} {shown(values.iloc[place], maximum=60)!r} is none of its categories"
                for place in np.flatnonzero(strange).tolist()
            })
            frame[feature.column] = np.where(strange, 0.0, known.to_numpy(dtype="float64"))
        elif feature.missing_values:
            frame[feature.column] = np.where(values.isin(feature.missing_values), np.nan, values.astype("float64"))
    return merge(found)


def clip(frame: pd.DataFrame, feature_set: FeatureSet) -> list[str | None]:
    """Put extreme but plausible values at the end of their range, as the catalog says, in ``frame`` itself.

    :param frame: the feature columns as float64.
    :returns: of each row the model's names of the features that were clipped, with a comma between; None if none was.
    """
    flags: list[str | None] = [None] * len(frame)
    for feature in feature_set.features:
        values = frame[feature.column].to_numpy()
        least, most = _limits(feature)
        high = (values > feature.maximum) & (values <= most)
        low = (values < feature.minimum) & (values >= least)
        for place in np.flatnonzero(high | low).tolist():
            flags[place] = f"{flags[place]}, {feature.name}" if flags[place] else feature.name
        if high.any() or low.any():
            frame[feature.column] = np.where(high, feature.maximum, np.where(low, feature.minimum, values))
    return flags


def _limits(feature: FeatureSpec) -> tuple[float, float]:
    """Beyond these a value is impossible."""
    least = feature.minimum if feature.clip_down_to is None else feature.clip_down_to
    return least, feature.maximum if feature.clip_up_to is None else feature.clip_up_to


def _column(feature: FeatureSpec) -> pandera.Column:
    least, most = _limits(feature)
    return pandera.Column(
        "float64",
        checks=[
            pandera.Check.ge(least, error=f"is below {least:g}"),
            pandera.Check.le(most, error=f"is above {most:g}"),
        ],
        nullable=feature.nullable,
    )


def contract_reasons(frame: pd.DataFrame, feature_set: FeatureSet) -> Reasons:
    """Which rows break the catalog's ranges and null rules, and how.

    :param frame: the feature columns as float64, NaN for missing, numbered from 0.
    """
    found: dict[int, list[str]] = {}
    try:
        feature_schema(feature_set).validate(frame[feature_set.columns], lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        for column, check, value, place in zip(
            cases["column"], cases["check"], cases["failure_case"], cases["index"], strict=True
        ):
            text = f"{column} is missing" if check == "not_nullable" else f"{column} {float(value):g} {check}"
            found.setdefault(int(place), []).append(text)
    return {place: "; ".join(sorted(texts)) for place, texts in found.items()}


def lead_id_reasons(lead_ids: Sequence[str | None]) -> Reasons:
    """The ids that Salesforce could not have given to a Lead."""
    return {
        int(place): f"lead_id {lead_ids[int(place)]!r} is not an 18-character Lead id (00Q..., checksum)"
        for place in np.flatnonzero(~valid_lead_ids(lead_ids))
    }


def marked(rows: npt.NDArray[np.bool_], text: str) -> Reasons:
    """The same reason for every marked row."""
    return {int(place): text for place in np.flatnonzero(rows)}


def merge(several: Iterable[Reasons]) -> Reasons:
    """All reasons of each row in one text."""
    merged: Reasons = {}
    for reasons in several:
        for place, text in reasons.items():
            merged[place] = f"{merged[place]}; {text}" if place in merged else text
    return merged


def count_by_reason(reasons: Iterable[str]) -> dict[str, int]:
    """How many rows broke each rule, without the values: ``{"days_in_gap is below 0": 3}``, most frequent first."""
    counter: Counter[str] = Counter()
    for text in reasons:
        counter.update({_rule(reason) for reason in text.split("; ") if reason})
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _rule(reason: str) -> str:
    for pattern, rule in _VALUES:
        if pattern.match(reason):
            return pattern.sub(rule, reason)
    return reason
