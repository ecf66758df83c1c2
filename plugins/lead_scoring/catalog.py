"""The feature catalog: what each feature means, in which range it lies and when it may be missing.

``include/config/feature_catalog.yaml`` is the one definition. The SQL, the contract, the model package and the docs all
read names, ranges and null rules from here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lead_scoring.errors import BadInput
from lead_scoring.stage import canonical_json, sha256_bytes

if TYPE_CHECKING:
    import pyarrow as pa

CATALOG_FILE = "feature_catalog.yaml"
OWN_SETS = "feature_sets"  # a folder beside it: one file a feature set of one's own
DIRECTIONS = ("up", "down", "flat")

_REQUIRED: Mapping[str, type | tuple[type, ...]] = {
    "unit": str,
    "definition": str,
    "sources": list,
    "null_rule": str,
    "nullable": bool,
    "minimum": (int, float),
    "maximum": (int, float),
    "needs_recorded_at": bool,
    "direction": str,
}
_OPTIONAL: Mapping[str, type | tuple[type, ...]] = {
    "column": str,
    "clip_up_to": (int, float),
    "clip_down_to": (int, float),
    "categories": list,
    "missing_values": list,
}
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


DIGEST_LENGTH = 16


def row_digest(lead_id: str, pit_date: dt.date | None, values: Sequence[float | None]) -> str:
    """The receipt of one feature row: 16 hex characters of a SHA-256.

    Over the lead id, a zero byte, the pit date in ISO form (empty if there is none), a zero byte, and every value as a
    little-endian float64. All missing values are one NaN and -0.0 is 0.0, so equal rows have equal digests.

    :param values: in the order of the feature set; None or NaN is missing.
    """
    numbers = [float("nan") if value is None or value != value else float(value) + 0.0 for value in values]
    head = f"{lead_id}\0{pit_date.isoformat() if pit_date else ''}\0".encode()
    return hashlib.sha256(head + struct.pack(f"<{len(numbers)}d", *numbers)).hexdigest()[:DIGEST_LENGTH]


def row_digests(feature_set: FeatureSet, table: pa.Table) -> list[str]:
    """:func:`row_digest` of every row of a feature table.

    :param table: has ``lead_id``, ``pit_date`` and the set's columns (warehouse names) as float64.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    values = np.empty((table.num_rows, len(feature_set.columns)), dtype="<f8")
    for place, column in enumerate(feature_set.columns):
        values[:, place] = pc.fill_null(table.column(column), float("nan")).to_numpy()
    values += 0.0
    values[np.isnan(values)] = float("nan")
    dates = pc.fill_null(pc.cast(table.column("pit_date"), pa.string()), "")
    lead_ids = table.column("lead_id")
    heads = pc.binary_join_element_wise(lead_ids, dates, "", "\0").to_pylist()
    body, width = values.tobytes(), 8 * values.shape[1]
    return [
        hashlib.sha256(head.encode() + body[place * width : (place + 1) * width]).hexdigest()[:DIGEST_LENGTH]
        for place, head in enumerate(heads)
    ]


@dataclass(frozen=True)
class FeatureSpec:
    """One feature.

    :param name: the model's name, which may hold a space.
    :param column: the warehouse's name: letters, digits and underscores.
    :param dtype: always ``float``: the booster reads float32, the warehouse holds FLOAT64.
    :param minimum: inclusive; a value below it sets the row aside, unless it is clipped.
    :param maximum: inclusive; likewise.
    :param needs_recorded_at: refused when the source does not say when it came to know its rows.
    :param direction: expected effect of a higher value on conversion: ``up``, ``down`` or ``flat``.
    :param clip_up_to: a value above ``maximum`` and up to this is extreme but plausible: it counts as ``maximum``, and
        the row says so. Beyond it the value is impossible. None: whatever is above ``maximum`` is impossible.
    :param clip_down_to: likewise below ``minimum``.
    :param categories: the texts that a ready table holds; the value is the place of the text, from 0. Empty: numbers.
    :param missing_values: numbers that mean "missing", outside of the range.
    """

    name: str
    column: str
    dtype: str
    unit: str
    definition: str
    sources: tuple[str, ...]
    null_rule: str
    nullable: bool
    minimum: float
    maximum: float
    needs_recorded_at: bool
    direction: str
    clip_up_to: float | None = None
    clip_down_to: float | None = None
    categories: tuple[str, ...] = ()
    missing_values: tuple[float, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Everything that defines the feature. What is not said is left out, so that a new key moves no digest."""
        return {key: value for key, value in asdict(self).items() if value is not None and value != ()}


@dataclass(frozen=True)
class FeatureSet:
    """A named, ordered list of features. The order is the model's column order.

    :param target: of a set of one's own: the column of the ready table that holds the outcome. Empty: ``target``.
    :param positive: the text in it that means a conversion; empty where it holds 0 and 1.
    :param own: it describes a ready table, and no SQL computes it.
    """

    name: str
    features: tuple[FeatureSpec, ...]
    target: str = ""
    positive: str = ""
    own: bool = False

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def columns(self) -> list[str]:
        return [feature.column for feature in self.features]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every definition: a changed word is a changed feature set."""
        facts: dict[str, Any] = {"name": self.name, "features": [item.facts() for item in self.features]}
        if self.own:
            facts |= {"target": self.target, "positive": self.positive}
        return sha256_bytes(canonical_json(facts))


@dataclass(frozen=True)
class Catalog:
    features: Mapping[str, FeatureSpec]
    sets: Mapping[str, FeatureSet]

    @property
    def names(self) -> list[str]:
        """Names of the feature sets, sorted."""
        return sorted(self.sets)

    def feature_set(self, name: str) -> FeatureSet:
        """:raises BadInput: there is no such set."""
        if name not in self.sets:
            raise BadInput(f"feature set {name!r} is unknown; {CATALOG_FILE} has {self.names}")
        return self.sets[name]


def load_catalog(config_folder: Path) -> Catalog:
    """Read and check ``feature_catalog.yaml``, and the feature sets of one's own in ``feature_sets/*.yaml`` beside it.

    :raises BadInput: the file is missing, or a feature or a set is not written as it must be.
    """
    path = config_folder / CATALOG_FILE
    if not path.is_file():
        raise BadInput(f"feature catalog {path} does not exist; set LEAD_SCORING_HOME to the project's root")
    features, sets = _read(path)
    for own in sorted((config_folder / OWN_SETS).glob("*.yaml")):
        _, found = _read(own, own=True)
        if taken := sorted(set(found) & set(sets)):
            raise BadInput(f"feature set {taken[0]!r} of {own.name} is defined already; give it another name")
        sets |= found
    return Catalog(features=features, sets=sets)


def _read(path: Path, *, own: bool = False) -> tuple[dict[str, FeatureSpec], dict[str, FeatureSet]]:
    """Features and sets of one file.

    :param own: the sets describe a ready table, and ``target`` says which of its columns holds the outcome.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
    features = {name: _feature(name, entry, path.name) for name, entry in (data.get("features") or {}).items()}
    columns = [feature.column for feature in features.values()]
    if repeated := sorted({column for column in columns if columns.count(column) > 1}):
        raise BadInput(f"column {repeated[0]!r} belongs to two features in {path.name}; give each its own")
    target = data.get("target") or {}
    if not isinstance(target, dict) or not set(target) <= {"column", "positive"}:
        raise BadInput(f"target in {path.name} is {target!r}; it must be a mapping of column and, for texts, positive")
    facts = {"target": str(target.get("column", "")), "positive": str(target.get("positive", "")), "own": own}
    sets = {name: _set(name, members, features, path.name, facts) for name, members in (data.get("sets") or {}).items()}
    return features, sets


def _feature(name: str, entry: Any, file: str) -> FeatureSpec:
    if not isinstance(entry, dict):
        raise BadInput(f"feature {name!r} in {file} is {entry!r}; it must be a mapping of {sorted(_REQUIRED)}")
    if unknown := sorted(set(entry) - set(_REQUIRED) - set(_OPTIONAL)):
        raise BadInput(
            f"feature {name!r} in {file} has the unknown key {unknown[0]!r}; known: "
            f"{sorted({**_REQUIRED, **_OPTIONAL})}"
        )
    for key, kind in {**_REQUIRED, **_OPTIONAL}.items():
        if key not in entry:
            if key in _OPTIONAL:
                continue
            raise BadInput(f"feature {name!r} in {file} has no {key!r}; add it")
        value = entry[key]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise BadInput(f"feature {name!r} in {file} has {key} = {value!r}, which has the wrong type")
    column = entry.get("column", name)
    if not _COLUMN.fullmatch(column):
        raise BadInput(f"feature {name!r} needs a 'column' of letters, digits and underscores in {file}")
    if entry["direction"] not in DIRECTIONS:
        raise BadInput(f"feature {name!r} has direction {entry['direction']!r}; it must be one of {DIRECTIONS}")
    if entry["minimum"] > entry["maximum"]:
        raise BadInput(f"feature {name!r} has minimum {entry['minimum']} above its maximum {entry['maximum']}")
    up, down = entry.get("clip_up_to"), entry.get("clip_down_to")
    if up is not None and up <= entry["maximum"]:
        raise BadInput(f"feature {name!r} has clip_up_to {up}; it must lie above its maximum {entry['maximum']}")
    if down is not None and down >= entry["minimum"]:
        raise BadInput(f"feature {name!r} has clip_down_to {down}; it must lie below its minimum {entry['minimum']}")
    categories, missing = entry.get("categories", []), entry.get("missing_values", [])
    if not all(isinstance(text, str) for text in categories) or len(set(categories)) != len(categories):
        raise BadInput(f"feature {name!r} has categories {categories}; they must be different texts (quote them)")
    if categories and (entry["minimum"], entry["maximum"]) != (0, len(categories) - 1):
        raise BadInput(f"feature {name!r} has {len(categories)} categories: its range is 0 to {len(categories) - 1}")
    for value in missing:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInput(f"feature {name!r} has the missing value {value!r}; it must be a number")
        if not entry["nullable"] or entry["minimum"] <= value <= entry["maximum"]:
            raise BadInput(
                f"feature {name!r} has the missing value {value}: it must lie outside of its range "
                f"{entry['minimum']} to {entry['maximum']}, and the feature must be nullable"
            )
    return FeatureSpec(
        name=name,
        column=column,
        dtype="float",
        unit=entry["unit"],
        definition=entry["definition"],
        sources=tuple(entry["sources"]),
        null_rule=entry["null_rule"],
        nullable=entry["nullable"],
        minimum=float(entry["minimum"]),
        maximum=float(entry["maximum"]),
        needs_recorded_at=entry["needs_recorded_at"],
        direction=entry["direction"],
        clip_up_to=None if up is None else float(up),
        clip_down_to=None if down is None else float(down),
        categories=tuple(categories),
        missing_values=tuple(float(value) for value in missing),
    )


def _set(
    name: str, members: Any, features: Mapping[str, FeatureSpec], file: str, facts: Mapping[str, Any]
) -> FeatureSet:
    if not isinstance(members, list) or not members:
        raise BadInput(f"feature set {name!r} in {file} must be a list of feature names")
    if unknown := [member for member in members if member not in features]:
        raise BadInput(f"feature set {name!r} names {unknown[0]!r}, which {file} does not define")
    if len(set(members)) != len(members):
        raise BadInput(f"feature set {name!r} names a feature twice")
    return FeatureSet(name=name, features=tuple(features[member] for member in members), **facts)
