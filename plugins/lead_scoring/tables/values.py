"""What a column may hold: one table of accepted types, the same at every door (docs/input.md shows it).

A kind is what a column means, not how a program stored it. Each kind says which Arrow types become it without loss; the
rest is refused with the value. Text counts as a number only in a file that knows nothing but text (CSV).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lead_scoring.lead_ids import normal_ids
from lead_scoring.text import shown

TIMESTAMP = pa.timestamp("us", tz="UTC")
ARROW: Mapping[str, pa.DataType] = {
    "number": pa.float64(),
    "flag": pa.float64(),
    "bool": pa.bool_(),
    "integer": pa.int64(),
    "crd": pa.int64(),
    "crd_text": pa.string(),
    "text": pa.string(),
    "lead_id": pa.string(),
    "day": pa.date32(),
    "time": TIMESTAMP,
}
WORDS: Mapping[str, str] = {
    "number": "a number",
    "flag": "0, 1 or missing",
    "bool": "true or false",
    "integer": "a whole number",
    "crd": "a CRD number",
    "crd_text": "a CRD number",
    "text": "text",
    "lead_id": "text: Salesforce ids",
    "day": "a date like 2024-10-01",
    "time": "a time like 2024-10-01T12:00:00Z (without a zone it is UTC), or a date",
}
MISSING = ("", "null", "none", "nan", "nat", "na", "n/a", "#n/a", "<na>", "\\n")
"""Spellings of a missing value in a file of text, in any case."""

# BigQuery's and Parquet's years; datetime's too. Beyond them lies what a wrapped counter or a wrong unit looks like.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
_NUMBER = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI]nf(?:inity)?)$"
_CRD = r"^(?:[cC][rR][dD])?[\s#:.]*(?P<digits>[0-9]{1,10}|[0-9]{1,3}(?:,[0-9]{3}){1,3})(?:\.0*)?$"
_TIME = (
    r"^(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.(?P<part>[0-9]{1,6})[0-9]*)?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|(?P<sign>[+-])(?P<hours>0[0-9]|1[0-4])(?::?(?P<minutes>[0-5][0-9]))?))?$"
)
_DIGITS = r"^[+-]?[0-9]+(?:\.[0-9]*)?$"


class Misfit(Exception):
    """A value that its column cannot hold. ``place`` counts from 0 in the array; None: the whole column."""

    def __init__(self, problem: str, place: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.place = problem, place


def convert(values: pa.Array, kind: str, *, parse: bool = False) -> pa.Array:
    """The values as the kind's Arrow type (:data:`ARROW`).

    :param parse: the file holds nothing but text: numbers and truth are read from it, and :data:`MISSING` is missing.
    :raises Misfit: says which value, and what it should be.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_run_end_encoded(values.type):
        values = pc.run_end_decode(values)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), ARROW[kind])
    if _is_bytes(values.type):  # Parquet text without its annotation, as Impala and old Spark write it
        values = _cast(values, pa.binary())
        values = _utf8(values)
    if _is_text(values.type):
        values = values.cast(pa.string())
        if parse:
            values = _without_missing(values)
    return _CONVERTERS[kind](values, parse)


def fits(kind: pa.DataType, wanted: str) -> bool:
    """Whether values of an Arrow type can be the wanted kind, as far as the type tells.

    >>> fits(pa.bool_(), "number"), fits(pa.string(), "number"), fits(pa.decimal128(9, 2), "number")
    (True, False, True)
    """
    try:
        convert(pa.array([], kind), wanted)
    except Misfit:
        return False
    return True


def _number(values: pa.Array, parse: bool) -> pa.Array:
    if parse and _is_text(values.type):
        return _parsed(values)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if not _is_number(values.type):
        raise Misfit(_wrong_type(values, "number"))
    return values.cast(pa.float64(), safe=False)  # features are float32 in the end; no integer there has 16 digits


def _flag(values: pa.Array, parse: bool) -> pa.Array:
    try:
        return _number(values, parse)
    except Misfit as wrong:
        raise Misfit(wrong.problem.replace(WORDS["number"], WORDS["flag"]), wrong.place) from None


def _bool(values: pa.Array, parse: bool) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    try:
        numbers = _number(values, parse)
    except Misfit as wrong:
        raise Misfit(wrong.problem.replace(WORDS["number"], WORDS["bool"]), wrong.place) from None
    _refuse(values, pc.invert(pc.is_in(numbers, pa.array([0.0, 1.0, None]))), "is {}; it must be true or false")
    return pc.equal(numbers, 1.0)


def _integer(values: pa.Array, parse: bool, kind: str = "integer") -> pa.Array:
    if _is_text(values.type) and parse:
        values = _parsed(values)
    if pa.types.is_boolean(values.type) or not _is_number(values.type):
        raise Misfit(_wrong_type(values, kind))
    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        values = pc.if_else(pc.is_nan(values), None, values)  # pandas turns integers with gaps into floats
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 9e15))
        _refuse(values, pc.invert(whole), f"is {{}}; it must be {WORDS[kind]}")
    return _cast(values, pa.int64(), f"is not {WORDS[kind]}")


def _crd(values: pa.Array, parse: bool) -> pa.Array:
    if not _is_text(values.type):
        return _integer(values, False, "crd")
    trimmed = pc.utf8_trim_whitespace(values)
    digits = pc.struct_field(pc.extract_regex(trimmed, _CRD), "digits")
    empty = pc.is_in(trimmed, pa.array(["", None]))
    _refuse(values, pc.and_(pc.is_null(digits), pc.invert(empty)), "is {}, which is not a CRD number; mend it there")
    digits = pc.replace_substring(pc.if_else(empty, None, digits), ",", "")
    return _cast(digits, pa.int64(), "is not a CRD number")


def _crd_text(values: pa.Array, parse: bool) -> pa.Array:
    """Text stays as it is: the contract sets aside a row whose CRD is none, and shows it."""
    return values if _is_text(values.type) else _integer(values, False, "crd").cast(pa.string())


def _text(values: pa.Array, parse: bool) -> pa.Array:
    if not _is_text(values.type):
        raise Misfit(_wrong_type(values, "text"))
    return values


def _lead_id(values: pa.Array, parse: bool) -> pa.Array:
    if not _is_text(values.type):
        raise Misfit(_wrong_type(values, "lead_id"))
    return pa.array(normal_ids(pc.utf8_trim_whitespace(values).to_pylist()), pa.string())


def _day(values: pa.Array, parse: bool) -> pa.Array:
    if pa.types.is_date(values.type):
        return _within(_cast(values, pa.date32(), "holds a time of day; give a date"), values)
    times = _parsed_times(values, "day", local=True) if _is_text(values.type) else _moments(values, "day")
    if pa.types.is_timestamp(values.type) and values.type.tz:
        times = pc.assume_timezone(pc.local_timestamp(pc.cast(times, pa.timestamp("us", values.type.tz))), "UTC")
    days = times.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    midnight = pc.equal(days.cast(pa.timestamp("us")), times.cast(pa.timestamp("us")))
    _refuse(
        values,
        pc.invert(midnight),
        "is {}: a time of day in a column of dates; give the date, in the zone that it is meant in",
    )
    return days


def _time(values: pa.Array, parse: bool) -> pa.Array:
    return _moments(values, "time")


def _moments(values: pa.Array, kind: str) -> pa.Array:
    """Dates, times and their texts as microseconds in UTC."""
    if _is_text(values.type):
        return _parsed_times(values, kind)
    if pa.types.is_date(values.type):
        return _within(_cast(values, pa.date32()), values).cast(pa.timestamp("us")).cast(TIMESTAMP)
    if not pa.types.is_timestamp(values.type):
        raise Misfit(_wrong_type(values, kind))
    naive = values.cast(pa.timestamp(values.type.unit))
    if values.type.unit == "ns":
        naive = pc.divide(naive.cast(pa.int64()), 1000).cast(pa.timestamp("us"))
    else:
        naive = _cast(naive, pa.timestamp("us"), "lies outside the years 1 to 9999; its type cannot be right")
    counted = naive.cast(pa.int64())
    beyond = pc.or_(pc.less(counted, _FIRST), pc.greater(counted, _LAST))
    _refuse(counted, beyond, "lies outside the years 1 to 9999 ({} microseconds since 1970); export it anew")
    return naive.cast(TIMESTAMP)


def _parsed_times(values: pa.Array, kind: str, *, local: bool = False) -> pa.Array:
    """:param local: the clock as it is written, whatever the zone beside it: the day that the writer meant."""
    trimmed = pc.utf8_trim_whitespace(values)
    trimmed = pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    parts = pc.extract_regex(trimmed, _TIME)
    bad = pc.and_(pc.is_valid(trimmed), pc.is_null(pc.struct_field(parts, "day")))
    serial = pc.match_substring_regex(trimmed, _DIGITS)
    _refuse(
        values,
        pc.and_(bad, serial),
        f"is {{}}: a number, as Excel counts days or a program seconds; it must be {WORDS[kind]}",
    )
    _refuse(values, bad, f"is {{}}; it must be {WORDS[kind]}")

    def part(name: str, default: str) -> pa.Array:
        found = pc.struct_field(parts, name)
        return pc.if_else(pc.equal(found, ""), default, found)

    text = pc.binary_join_element_wise(part("day", ""), part("clock", "00:00"), "T")
    whole = _cast(text, pa.timestamp("us"), f"is no time that there is; it must be {WORDS[kind]}", shown_from=values)
    micros = pc.utf8_rpad(part("part", "0"), 6, "0").cast(pa.int64())
    minutes = pc.add(pc.multiply(part("hours", "0").cast(pa.int64()), 60), part("minutes", "0").cast(pa.int64()))
    minutes = pc.if_else(pc.equal(pc.struct_field(parts, "sign"), "-"), pc.negate(minutes), minutes)
    counted = pc.add(whole.cast(pa.int64()), micros)
    counted = counted if local else pc.subtract(counted, pc.multiply(minutes, 60_000_000))
    _refuse(values, pc.or_(pc.less(counted, _FIRST), pc.greater(counted, _LAST)), "is {}, beyond the years 1 to 9999")
    return counted.cast(pa.timestamp("us")).cast(TIMESTAMP)


def _parsed(values: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(values)
    lower = pc.utf8_lower(trimmed)
    trimmed = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", trimmed))
    bad = pc.and_(pc.is_valid(trimmed), pc.invert(pc.match_substring_regex(trimmed, _NUMBER)))
    comma = pc.match_substring_regex(
        trimmed, r"^[+-]?[0-9][0-9.]*,[0-9]+$|^[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?$"
    )
    _refuse(
        values,
        pc.and_(bad, comma),
        "is {}, which has a comma: a decimal comma or one for thousands? It must be a number like 1234.5",
    )
    _refuse(values, bad, "is {}; it must be a number")
    return _cast(pc.utf8_ltrim(trimmed, "+"), pa.float64(), "is not a number")


def _without_missing(values: pa.Array) -> pa.Array:
    missing = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(values)), pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), values)


def _within(days: pa.Array, values: pa.Array) -> pa.Array:
    counted = days.cast(pa.int32())
    beyond = pc.or_(pc.less(counted, -719_162), pc.greater(counted, 2_932_896))
    _refuse(counted, beyond, "lies outside the years 1 to 9999 ({} days since 1970); export it anew")
    return days


def _refuse(values: pa.Array, bad: pa.Array, problem: str) -> None:
    place = pc.index(pc.fill_null(bad, False), True).as_py()
    if place >= 0:
        raise Misfit(problem.format(_shown(values[place])), place)


def _shown(value: pa.Scalar) -> str:
    try:
        found = value.as_py()
    except (ValueError, OverflowError):  # Arrow holds times that Python's datetime does not
        return shown(str(value.value), maximum=60)
    return repr(shown(found, maximum=60)) if isinstance(found, str) else shown(found, maximum=60)


def _cast(
    values: pa.Array, kind: pa.DataType, problem: str = "cannot be read", shown_from: pa.Array | None = None
) -> pa.Array:
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        source = values if shown_from is None else shown_from
        for place in range(len(values)):  # only on the way to an error
            try:
                values.slice(place, 1).cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
                raise Misfit(f"is {_shown(source[place])}, which {problem}", place) from None
        raise Misfit(problem) from None


def _utf8(values: pa.Array) -> pa.Array:
    return _cast(values, pa.string(), "is not text in UTF-8")


def _wrong_type(values: pa.Array, kind: str) -> str:
    value = next((item for item in values.slice(0, 1000) if item.is_valid), None)
    example = f" such as {_shown(value)}" if value is not None and _is_plain(values.type) else ""
    return f"is of type {type_name(values.type)}{example}; it must be {WORDS[kind]}"


def type_name(kind: pa.DataType) -> str:
    """The type as people know it: STRING, INT64, and Arrow's own name for the rest."""
    if _is_text(kind):
        return "STRING"
    names: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
        (pa.types.is_boolean, "BOOL"),
        (pa.types.is_integer, "INT64"),
        (pa.types.is_floating, "FLOAT64"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_timestamp, "TIMESTAMP"),
    )
    return next((name for matches, name in names if matches(kind)), str(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


_CONVERTERS: Mapping[str, Callable[[pa.Array, bool], Any]] = {
    "number": _number,
    "flag": _flag,
    "bool": _bool,
    "integer": _integer,
    "crd": _crd,
    "crd_text": _crd_text,
    "text": _text,
    "lead_id": _lead_id,
    "day": _day,
    "time": _time,
}
