"""A feature set of one's own, drafted from a ready table: ``lead-scoring catalog infer``.

The draft says of each column what the table shows: numbers with their range, texts as categories, values that stand for
"missing", and which columns say nothing. A person reads it and corrects it; from then on it is the definition.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from lead_scoring.errors import BadInput
from lead_scoring.tables import Misfit, OpenTable, convert
from lead_scoring.text import shown

NOT_FEATURES = frozenset({
    "lead_id", "contacted_at", "pit_date", "scorable", "target", "feature_digest", "as_of", "clipped",
})  # fmt: skip
MOST_CATEGORIES = 100
ROWS_A_CATEGORY = 20  # with fewer a text is rather a name or a note than a category
SENTINELS = (999.0, 9999.0, 99999.0, 999999.0, -1.0, -9.0, -99.0, -999.0, -9999.0)
SENTINEL_SHARE = 0.01
SET_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


@dataclass
class Draft:
    """:param features: name to entry of the catalog. :param skipped: column to the reason why it is no feature.
    :param positive: the text that means a conversion; empty where the target is 0 and 1.
    """

    name: str
    table: str
    target: str
    positive: str
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    conversions: int = 0

    def to_yaml(self) -> str:
        """The file for ``include/config/feature_sets``."""
        head = [
            f"# Feature set {self.name}, drafted from {shown(self.table)}: {self.rows} rows, {self.conversions} "
            "conversions. Read it and correct it:",
            "# ranges are what the table shows, definitions are empty words, and only you know which column is known",
            "# before the outcome. The keys are those of feature_catalog.yaml; docs/own_features.md explains them.",
            *(f"# not a feature: {shown(column)}: {why}" for column, why in self.skipped.items()),
        ]
        target = {"column": self.target} | ({"positive": self.positive} if self.positive else {})
        content = {"target": target, "features": self.features, "sets": {self.name: list(self.features)}}
        return "\n".join(head) + "\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def infer(table: OpenTable, *, target: str, name: str, positive: str = "") -> Draft:
    """Draft a feature set from a table that has its features and the outcome.

    :param target: the column with the outcome: 0 and 1, or two texts. :param name: of the set.
    :param positive: the text that means a conversion; empty: the rarer one.
    :raises BadInput: the name cannot be one, there is no such column, the outcome has not two values, or no column is
        left as a feature.
    """
    if not SET_NAME.fullmatch(name):
        raise BadInput(f"feature set name {name!r} must be of small letters, digits and underscores, a letter first")
    if target not in table.names:
        raise BadInput(f"table {table.label} has no column {target!r} for --target; it has {table.names}")
    outcome, text = _column(table, target)
    chosen, conversions = _outcome(outcome, text, target, positive)
    draft = Draft(name, table.label, target, chosen, rows=len(outcome), conversions=conversions)
    for column in table.names:
        if column == target or column in NOT_FEATURES or not column.strip():
            continue
        try:
            values, is_text = _column(table, column)
        except Misfit as wrong:
            draft.skipped[column] = f"it {wrong.problem}"
            continue
        entry = _categories(values) if is_text else _number(values)
        if isinstance(entry, str):
            draft.skipped[column] = entry
            continue
        draft.features[column] = _entry(column, draft, entry)
    if not draft.features:
        raise BadInput(f"no column of {table.label} can be a feature: {draft.skipped}")
    return draft


def _column(table: OpenTable, name: str) -> tuple[pa.Array, bool]:
    """All values of a column as numbers, or as texts (True). :raises Misfit: they are neither."""
    parts = [(batch.column(0), part.parse) for part in table.parts for batch in part.rows([name])]
    try:
        found = [convert(values.combine_chunks(), "number", parse=parse) for values, parse in parts]
        text = False
    except Misfit:
        found = [convert(values.combine_chunks(), "text", parse=parse) for values, parse in parts]
        text = True
    return pa.concat_arrays(found) if found else pa.array([], pa.float64()), text


def _outcome(values: pa.Array, text: bool, name: str, positive: str) -> tuple[str, int]:
    """The text that means a conversion (empty for 0 and 1), and how many there are."""
    counts = Counter(values.drop_null().to_pylist())
    if not text:
        if positive or not set(counts) <= {0.0, 1.0}:
            raise BadInput(f"target {name!r} holds {sorted(counts)[:5]}; it must hold 0 and 1, or two texts")
        return "", counts[1.0]
    if len(counts) != 2 or (positive and positive not in counts):
        raise BadInput(
            f"target {name!r} holds the texts {sorted(counts)[:5]}; it needs two, and --positive, if given, is one"
        )
    chosen = positive or min(counts, key=lambda value: (counts[value], value))
    return chosen, counts[chosen]


def _number(values: pa.Array) -> dict[str, Any] | str:
    """Range, null rule and values that mean "missing"; or why it is no feature."""
    known = values.to_numpy(zero_copy_only=False)
    known = known[np.isfinite(known)]
    sentinels = _sentinels(known)
    inside = known[~np.isin(known, sentinels)]
    if len(np.unique(inside)) < 2:
        return "it has one value, or none" if not sentinels else f"beside {sentinels} it has one value, or none"
    low, high = float(inside.min()), float(inside.max())
    spread = high - low
    entry: dict[str, Any] = {
        "nullable": bool(len(known) < len(values) or sentinels),
        "minimum": _plain(low),
        "maximum": _plain(high),
    }
    if set(np.unique(inside).tolist()) != {0.0, 1.0}:
        entry["clip_up_to"] = _plain(high + spread)
        floor = max(0.0, low - spread) if low >= 0 else low - spread
        if floor < low:
            entry["clip_down_to"] = _plain(floor)
    if sentinels:
        entry["missing_values"] = [_plain(value) for value in sentinels]
    return entry


def _sentinels(values: np.ndarray) -> list[float]:
    """Frequent values far from all others that people write for "missing", such as 999 beside 0 to 27."""
    found = []
    for value in SENTINELS:
        others = values[values != value]
        if not len(others) or (values == value).mean() < SENTINEL_SHARE:
            continue
        low, high = others.min(), others.max()
        alone = value < low if value < 0 <= low else value > high and value - high > high - low
        if alone:
            found.append(value)
    return found


def _categories(values: pa.Array) -> dict[str, Any] | str:
    """Each text a code, the most frequent first; or why it is no feature. Not by outcome: that would teach it."""
    counts = Counter(values.drop_null().to_pylist())
    if len(counts) < 2:
        return "it has one text, or none"
    if len(counts) > min(MOST_CATEGORIES, max(2, len(values) // ROWS_A_CATEGORY)):
        return f"it has {len(counts):,} different texts: rather a name or a note than a category"
    ordered = sorted(counts, key=lambda text: (-counts[text], text))
    return {
        "nullable": bool(pc.sum(pc.is_null(values)).as_py()),
        "minimum": 0,
        "maximum": len(ordered) - 1,
        "categories": ordered,
    }


def _entry(column: str, draft: Draft, found: Mapping[str, Any]) -> dict[str, Any]:
    plain = re.sub(r"\W", "_", column, flags=re.ASCII)
    plain = plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"
    if plain in {entry.get("column", name) for name, entry in draft.features.items()}:
        raise BadInput(f"two columns of {draft.table} are called {plain!r} without signs; rename one of them")
    missing = found.get("missing_values")
    rule = "never missing" if not found["nullable"] else "missing when empty"
    return {
        **({"column": plain} if plain != column else {}),
        "unit": "category" if "categories" in found else "as in the table",
        "definition": f"Column {column} of the table.",
        "sources": ["a ready table"],
        "null_rule": rule + (f", and when it is {' or '.join(map(str, missing))}" if missing else ""),
        **found,
        "needs_recorded_at": False,
        "direction": "flat",
    }


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
