"""Which column of ``lead_scores`` goes to which Lead field, and how a value is written.

``include/config/salesforce_fields.yaml`` is the one definition of a field; the metadata that is deployed to the org is
written from it (:mod:`lead_scoring.salesforce.metadata`). Values are compared and kept as text, one canonical form a
type.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lead_scoring.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

CLEAR = "#N/A"  # a cell of an upload that empties the field; an empty cell leaves it alone
BLANKS = "".join(
    filter(str.isspace, map(chr, range(0x3001)))
)  # trimmed on both sides, so no org's idea of them matters
CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
BEYOND = ">"  # stands for every value that is not compared exactly
MAXIMUM_NUMBER = 1e15  # larger ones have no digits left for decimals; the org would refuse them anyway


@dataclass(frozen=True)
class MappedField:
    """One field that the sync writes.

    :param name: API name on Lead.
    :param column: of ``lead_scores``.
    :param compare: whether a change of its value alone is a reason to write the lead.
    :param optional: whether the column may be absent.
    :param exact_to: of a field that is not compared as a whole: its values up to this one, and leaving them, are a
        reason to write. 0: none is.
    :param kind: metadata type: a key of :data:`SIZES`.
    :param length: of a text, in characters.
    :param precision: of a number, all its digits; ``scale`` of them after the point.
    :param values: of a picklist.
    :param help_text: what a person reads beside the field.
    """

    name: str
    column: str
    compare: bool
    optional: bool
    kind: str
    length: int
    precision: int
    scale: int
    exact_to: int = 0
    values: tuple[str, ...] = ()
    help_text: str = ""


# Metadata type -> how many sizes it takes in brackets: a length, or digits and decimals.
SIZES = {"Text": 1, "LongTextArea": 1, "Number": 2, "Date": 0, "DateTime": 0, "Checkbox": 0, "Picklist": 0}
_REQUIRED = {"field", "column", "type", "compare", "help"}
_OPTIONAL = {"optional", "exact_to", "values"}


def load_fields(config_folder: Path) -> tuple[MappedField, ...]:
    """Read the mapping.

    :raises BadInput: the file is missing, or an entry has an unknown key, lacks one, or has a value that cannot be.
    """
    path = config_folder / "salesforce_fields.yaml"
    if not path.is_file():
        raise BadInput(f"Salesforce mapping {path} does not exist; set LEAD_SCORING_HOME to the project's root")
    return tuple(_mapped(entry, path) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["fields"])


def _mapped(entry: Mapping[str, Any], path: Path) -> MappedField:
    if not _REQUIRED <= set(entry) <= _REQUIRED | _OPTIONAL:
        raise BadInput(f"{path}: entry {entry} must have {sorted(_REQUIRED)} and may have {sorted(_OPTIONAL)}")
    name, text = entry["field"], str(entry["type"])
    match = re.fullmatch(r"(\w+)(?:\((\d+)(?:,(\d+))?\))?", text.replace(" ", ""))
    sizes = [int(size) for size in match.groups()[1:] if size] if match else []
    if match is None or SIZES.get(match[1]) != len(sizes):
        raise BadInput(
            f"{path}: field {name} is of type {text!r}; it must be Text(255), LongTextArea(32000), Number(5,4), Date, "
            "DateTime, Checkbox or Picklist, with sizes of your own"
        )
    kind = match[1]
    values = tuple(map(str, entry.get("values", ())))
    if (kind == "Picklist") != bool(values):
        raise BadInput(f"{path}: field {name} is a {kind} with the values {list(values)}; only a Picklist has some")
    if entry.get("exact_to") and (entry["compare"] or (kind, sizes[-1:]) != ("Number", [0])):
        raise BadInput(f"{path}: exact_to is for a whole number with compare: false, not for {name}")
    return MappedField(
        name=name,
        column=entry["column"],
        compare=entry["compare"],
        optional=entry.get("optional", False),
        kind=kind,
        length=sizes[0] if SIZES[kind] == 1 else 0,
        precision=sizes[0] if SIZES[kind] == 2 else 0,
        scale=sizes[1] if SIZES[kind] == 2 else 0,
        exact_to=entry.get("exact_to", 0),
        values=values,
        help_text=entry["help"],
    )


def fields_for(fields: Sequence[MappedField], columns: Sequence[str]) -> tuple[MappedField, ...]:
    """The fields that a table with these columns can fill.

    :raises BadInput: a column that is not optional is missing.
    """
    for field in fields:
        if field.column not in columns and not field.optional:
            raise BadInput(f"scores have no column {field.column!r} for {field.name}; they have {sorted(columns)}")
    return tuple(field for field in fields if field.column in columns)


def encode(field: MappedField, values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in canonical text; null clears the field. Values that are :func:`unusable` become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if field.kind == "Number":
        numbers = pc.cast(array, pa.float64())
        numbers = pc.if_else(_usable(numbers), numbers, None)
        return pc.cast(pc.cast(numbers, pa.decimal128(38, field.scale), safe=False), pa.string())
    if field.kind == "Checkbox":  # the org knows no empty one
        return pc.if_else(pc.fill_null(pc.cast(array, pa.bool_()), False), "true", "false")
    if field.kind == "Date":
        return pc.strftime(pc.cast(array, pa.date32()), format="%Y-%m-%d")
    if field.kind == "DateTime":
        moments = pc.cast(array, pa.timestamp("s"), safe=False)
        return pc.strftime(moments, format="%Y-%m-%dT%H:%M:%SZ")
    text = _stored_text(pc.cast(array, pa.string()))
    usable = pc.and_(pc.not_equal(text, ""), pc.invert(_unsendable(text)))
    return pc.if_else(pc.fill_null(usable, False), text, None)


def _stored_text(text: pa.Array) -> pa.Array:
    """As the org keeps it: without blanks at its ends, each line break one line feed."""
    import pyarrow.compute as pc

    return pc.utf8_trim(pc.replace_substring_regex(text, "\r\n?", "\n"), BLANKS)


def _unsendable(text: pa.Array) -> pa.Array:
    """Mask of texts that a file cannot carry as they are: control characters, and the word that empties a field."""
    import pyarrow.compute as pc

    return pc.or_(pc.equal(text, CLEAR), pc.match_substring_regex(text, CONTROLS))


def unusable(field: MappedField, values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Mask of values that are there but cannot be written: infinite or absurd numbers, texts that no file can carry or
    that the picklist does not have.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if field.kind in {"Text", "LongTextArea", "Picklist"}:
        text = _stored_text(pc.cast(array, pa.string()))
        unknown = pc.invert(pc.is_in(text, value_set=pa.array(["", *field.values]))) if field.values else False
        return pc.fill_null(pc.or_(_unsendable(text), unknown), False)
    if field.kind != "Number":
        return pa.array([False] * len(array), pa.bool_())
    numbers = pc.cast(array, pa.float64())
    return pc.fill_null(pc.invert(_usable(numbers)), False)


def _usable(numbers: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.and_(pc.is_finite(numbers), pc.less(pc.abs(numbers), MAXIMUM_NUMBER))


def canonical(field: MappedField, value: Any) -> str | None:
    """A value that the org returned, in the same canonical text as :func:`encode` gives."""
    if field.kind == "Checkbox":
        return "true" if value is True else "false"
    if value is None or value == "":
        return None
    if field.kind == "Number":
        return f"{float(value):.{field.scale}f}"  # the org has rounded it to its scale already
    if field.kind == "Date":
        return str(value)[:10]
    if field.kind == "DateTime":
        text = str(value)
        if text.endswith(".000+0000"):  # how the org writes one; the general way takes ten times as long
            return f"{text[:19]}Z"
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return re.sub("\r\n?", "\n", str(value)).strip(BLANKS) or None


def digest_of(fields: Sequence[MappedField], values: Mapping[str, str | None]) -> str:
    """Digest of the compared fields of one lead: 16 hex characters of SHA-256."""
    import pyarrow as pa

    compared = [f for f in fields if f.compare or f.exact_to]
    return digests(compared, {f.name: pa.array([values.get(f.name)], pa.string()) for f in compared})[0]


def digests(fields: Sequence[MappedField], encoded: Mapping[str, pa.Array]) -> list[str]:
    """:func:`digest_of` for whole columns."""
    import pyarrow.compute as pc

    columns = [_compared(field, encoded[field.name]) for field in fields if field.compare or field.exact_to]
    return [_digest(text) for text in pc.binary_join_element_wise(*columns, "\x1f").to_pylist()]


def _compared(field: MappedField, texts: pa.Array) -> pa.Array:
    """What of a value counts as a change. All values beyond ``exact_to`` are alike."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if field.exact_to:
        texts = pc.if_else(pc.greater(pc.cast(texts, pa.int64()), field.exact_to), BEYOND, texts)
    return pc.fill_null(texts, "\x00")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
