"""The rules by which the org takes or refuses a value, and the ids of its records."""

from __future__ import annotations

import datetime as dt
import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from sandbox.salesforce_org.schema import Field

ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


class RowError(Exception):
    """A record is refused. ``code`` is Salesforce's status code, ``fields`` the fields at fault."""

    def __init__(self, code: str, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields

    def csv(self) -> str:
        """As ``sf__Error`` of a bulk result has it."""
        return f"{self.code}:{self.message}:{' '.join(self.fields)}{' ' if self.fields else ''}--"

    def json(self) -> dict[str, Any]:
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}


def id_checksum(short: str) -> str:
    """The last three of 18 characters: for each five, which are capitals."""
    return "".join(
        ID_ALPHABET[sum(1 << place for place, letter in enumerate(short[start : start + 5]) if letter.isupper())]
        for start in (0, 5, 10)
    )


def record_id(text: str, prefix: str = "00Q") -> str:
    """The 18-character form of an id.

    :raises RowError: it is no id, or of another object.
    """
    well_formed = re.fullmatch(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", text) and text.startswith(prefix)
    if not well_formed or (len(text) == 18 and text[15:].upper() != id_checksum(text[:15])):
        raise RowError("MALFORMED_ID", f"Lead ID: id value of incorrect type: {text}", ("Id",))
    return text[:15] + id_checksum(text[:15])


def coerce(field: Field, value: Any) -> Any:
    """The value as the org keeps it: None, a string, a float or a bool.

    :raises RowError: it is too long, too large or of the wrong type.
    """
    if isinstance(value, str):
        value = value.strip()  # the org keeps no blanks at the ends of a text
    if value is None or value == "":
        if field.required:
            raise RowError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{field.name}]", (field.name,))
        return False if field.kind == "Checkbox" else None
    if field.kind == "Number":
        return _number(field, value)
    if field.kind == "Checkbox":
        return value is True or str(value).lower() in {"true", "1"}
    if field.kind == "Date":
        return _moment(field, value).date().isoformat()
    if field.kind == "DateTime":
        return _moment(field, value).strftime("%Y-%m-%dT%H:%M:%S.") + "000+0000"
    if not isinstance(value, str):
        raise _wrong_type(field, value)
    if field.kind == "Picklist":
        if value not in field.values:
            raise RowError(
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{field.label}: bad value for restricted picklist field: {value}",
                (field.name,),
            )
        return value
    if len(value) > field.length:
        start = value if len(value) <= 100 else value[:100] + "..."
        raise RowError(
            "STRING_TOO_LONG",
            f"{field.label}: data value too large: {start} (max length={field.length})",
            (field.name,),
        )
    return value


def _number(field: Field, value: Any) -> float:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise _wrong_type(field, value) from None
    if isinstance(value, bool) or not number.is_finite():
        raise _wrong_type(field, value)
    if abs(number) >= Decimal(10) ** (field.precision - field.scale):
        raise RowError(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {value}",
            (field.name,),
        )
    return float(number.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP))


def _moment(field: Field, value: Any) -> dt.datetime:
    """An ISO-8601 date or date-time in UTC; without a zone it is UTC, as the API takes it."""
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        raise _wrong_type(field, value) from None
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _wrong_type(field: Field, value: Any) -> RowError:
    return RowError(
        "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{field.label}: value not of required type: {value}", (field.name,)
    )
