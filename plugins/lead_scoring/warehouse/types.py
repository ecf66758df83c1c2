"""Column types: BigQuery's name of each Arrow type, and one Arrow type for each of BigQuery's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from lead_scoring.errors import BadInput

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "BOOL": pa.bool_(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATETIME": pa.timestamp("us"),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
}


def bigquery_type(kind: Any) -> str:
    """BigQuery's name of an Arrow type. :raises BadInput: it has none."""
    checks: tuple[tuple[Any, str], ...] = (
        (pa.types.is_boolean, "BOOL"),
        (pa.types.is_integer, "INT64"),
        (pa.types.is_floating, "FLOAT64"),
        (lambda item: pa.types.is_decimal(item) and item.scale == 0, "INT64"),  # what DuckDB makes of a sum of integers
        (pa.types.is_decimal, "NUMERIC"),
        (pa.types.is_date, "DATE"),
    )
    for matches, name in checks:
        if matches(kind):
            return name
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "STRING"
    if pa.types.is_dictionary(kind):
        return bigquery_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"ARRAY<{bigquery_type(kind.value_type)}>"
    if pa.types.is_null(kind):
        return "NULL"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "BYTES"
    raise BadInput(f"column type {kind} has no place in the warehouse; convert it to text, a number or a date")


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """One Arrow type for each BigQuery type, so files do not depend on how an engine widens a sum."""
    return pa.schema([pa.field(field.name, _canonical(field.type)) for field in schema])


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """:param columns: name to BigQuery type."""
    return pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in columns.items()])


def _canonical(kind: pa.DataType) -> pa.DataType:
    name = bigquery_type(kind)
    if name.startswith("ARRAY<"):
        return pa.list_(_canonical(kind.value_type))
    return ARROW_TYPES.get(name, kind)
