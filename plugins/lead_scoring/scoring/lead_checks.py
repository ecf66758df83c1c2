"""The contract of one lead: every feature there, a finite number, in its range. Anything else is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from operator import itemgetter
from typing import Any, cast

from lead_scoring.errors import BadInput
from lead_scoring.model.native import ScorerFeature, ScorerSpec, package_files

FLOAT32_MAX = 3.4028234663852886e38
MISSING = ("refuse", "document")


class LeadChecks:
    """Checks and orders the features of a lead for one version.

    A feature may be called by the model's name or by the warehouse's (``pit_mobility_tier_Highly_Mobile``).
    """

    def __init__(self, spec: ScorerSpec, version: str) -> None:
        self.features = spec.features
        self.names = spec.feature_names
        self.hint = f"the model has {len(self.names)} features: see {package_files(version)['feature_names']}"
        self.bounds = [
            (
                -FLOAT32_MAX if feature.minimum is None else feature.minimum,
                FLOAT32_MAX if feature.maximum is None else feature.maximum,
            )
            for feature in spec.features
        ]
        self.limits = [
            (
                low if feature.clip_down_to is None else feature.clip_down_to,
                high if feature.clip_up_to is None else feature.clip_up_to,
            )
            for feature, (low, high) in zip(spec.features, self.bounds, strict=True)
        ]
        self._ends = [
            (place, feature.name, end)
            for place, (feature, bounds) in enumerate(zip(spec.features, self.bounds, strict=True))
            for end, limit in zip(bounds, (feature.clip_down_to, feature.clip_up_to), strict=True)
            if limit is not None
        ]
        self._known = {feature.column: feature.name for feature in spec.features} | {name: name for name in self.names}
        single = itemgetter(*self.names)
        self._values = single if len(self.names) > 1 else lambda lead: (single(lead),)

    def values(self, lead: Mapping[str, Any]) -> list[float]:
        """The features in the model's order, NaN for an allowed missing value, extreme ones clipped to their range.

        :param lead: feature name to number, and optionally ``lead_id``, which errors then name.
        :raises BadInput: the first problem, and how many more there are.
        """
        # The path of a lead without fault: one pass, no names. Whatever it cannot vouch for is looked at again below.
        try:
            values = self._values(lead)
        except (KeyError, TypeError):
            return self._slow(lead)
        if len(lead) != len(values) and not (len(lead) == len(values) + 1 and type(lead.get("lead_id")) is str):
            return self._slow(lead)
        for value, (low, high) in zip(values, self.bounds, strict=True):
            if not ((type(value) is float or type(value) is int) and low <= value <= high):
                return self._slow(lead)
        return list(values)

    def clipped(self, lead: Mapping[str, Any], values: list[float]) -> list[str]:
        """Which features of a lead that :meth:`values` accepted were clipped, by the model's names."""
        at_an_end = [(name, end) for place, name, end in self._ends if values[place] == end]
        if not at_an_end:
            return []
        given = self._renamed(lead)
        return [name for name, end in at_an_end if given.get(name, end) not in (None, end)]

    def zero_filled(self, lead: Mapping[str, Any]) -> tuple[list[float], list[str]]:
        """As the document's ``LeadScorer`` takes a lead: whatever is missing or null is 0.0.

        :returns: the values, and the names that were filled.
        :raises BadInput: a value that is there is wrong, or a key is unknown.
        """
        filled = []
        complete = dict(self._renamed(lead))
        for name in self.names:
            value = complete.get(name)
            if value is None or (isinstance(value, float) and math.isnan(value)):
                complete[name] = 0.0
                filled.append(name)
        return self.values(complete), filled

    def _slow(self, lead: Mapping[str, Any]) -> list[float]:
        given = self._renamed(lead)
        values: list[float] = []
        problems: list[str] = []
        for feature, bounds, limits in zip(self.features, self.bounds, self.limits, strict=True):
            if feature.name not in given:
                problems.append(f"feature {feature.name!r} is missing")
                continue
            value, problem = check_value(meant(feature, given[feature.name]), limits, feature.nullable)
            values.append(clipped(value, bounds))
            if problem and feature.categories and isinstance(given[feature.name], str):
                problem = f"is {short(given[feature.name])}, which is none of its categories"
            if problem:
                problems.append(f"feature {feature.name!r} {problem}")
        if problems:
            more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
            raise BadInput(f"{problems[0]} {lead_name(lead)}{more}; {self.hint}")
        return values

    def _renamed(self, lead: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(lead, Mapping):
            raise BadInput(f"a lead is {type(lead).__name__}; it must be a mapping of feature names to numbers")
        given: dict[str, Any] = {}
        for key, value in lead.items():
            name = "lead_id" if key == "lead_id" else self._known.get(key) if isinstance(key, str) else None
            if name is None:
                raise BadInput(f"feature {short(key)} is unknown {lead_name(lead)}; {self.hint}")
            if name == "lead_id" and not isinstance(value, str):
                raise BadInput(f"lead_id is {short(value)}; it must be text")
            if name in given:
                raise BadInput(f"feature {name!r} is given twice {lead_name(lead)}; give it once")
            given[name] = value
        return given


def clipped(value: float, bounds: tuple[float, float]) -> float:
    """The nearest value within the bounds; NaN stays NaN."""
    low, high = bounds
    return low if value < low else high if value > high else value


def meant(feature: ScorerFeature, value: Any) -> Any:
    """The number that a text of a category stands for, None for a number that means "missing", else the value."""
    if isinstance(value, str) and value in feature.categories:
        return feature.categories.index(value)
    if feature.missing_values and isinstance(value, Real) and not isinstance(value, bool):
        return None if value in feature.missing_values else value
    return value


def check_value(value: Any, bounds: tuple[float, float], nullable: bool) -> tuple[float, str]:
    """The value as a float, and what is wrong with it, empty if nothing. Truth is 0 or 1, as pandas makes dummies."""
    truth = isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in {"bool", "bool_"})
    if truth or isinstance(value, Decimal):
        value = float(value)
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, Real) and value != value):
        return math.nan, "" if nullable else f"is {short(value)} but may not be missing"
    if not isinstance(value, Real):
        return math.nan, f"is {short(value)}, which is not a number"
    low, high = bounds
    value = cast(Any, value)  # Real has no comparison with float in typeshed; every one of them compares
    if not -FLOAT32_MAX <= value <= FLOAT32_MAX:
        return math.nan, f"is {short(value)}, which is not finite"
    if value < low:
        return math.nan, f"is {short(value)}, below its minimum {low!r}"
    if value > high:
        return math.nan, f"is {short(value)}, above its maximum {high!r}"
    return float(value), ""


def lead_name(lead: Mapping[str, Any]) -> str:
    return f"(lead {short(lead['lead_id'])[1:-1]})" if isinstance(lead.get("lead_id"), str) else "(no lead_id given)"


def short(value: Any) -> str:
    """A value for an error message: never long, never more than one line."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "...")
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    if isinstance(value, Real):
        return str(value)
    return (
        "None" if value is None else "<NA>" if type(value).__name__ == "NAType" else f"of type {type(value).__name__}"
    )
