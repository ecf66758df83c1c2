"""A file of scores that somebody brought, as the sync reads it: the columns of the mapping, of their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lead_scoring.errors import BadInput
from lead_scoring.salesforce.fields import load_fields
from lead_scoring.tables import Column, OpenTable, Taken, take

_OWN = {"lead_id": "lead_id", "lead_score": "number", "score_bucket": "text", "expires_on": "day", "as_of": "day"}
_KINDS = {
    "Number": "number",
    "Text": "text",
    "LongTextArea": "text",
    "Picklist": "text",
    "Date": "day",
    "DateTime": "time",
    "Checkbox": "bool",
}


def take_scores(table: OpenTable, config_folder: Path, out: Path, maps: Mapping[str, str] | None = None) -> Taken:
    """Read what the sync needs of a file of scores and write it as Parquet.

    :raises BadInput: no rows; a column is missing, there twice, only alike, or holds what it cannot hold.
    """
    wanted = [Column(name, kind) for name, kind in _OWN.items()]
    for field in load_fields(config_folder):
        if field.column not in _OWN:
            kind = "integer" if field.kind == "Number" and field.scale == 0 else _KINDS[field.kind]
            wanted.append(Column(field.column, kind, required=not field.optional, matters=not field.optional))
    taken = take(table, wanted, out, called="scores file", maps=maps)
    if taken.rows == 0:
        raise BadInput(f"scores file {table.label} has no rows; `lead-scoring score --batch` writes one")
    return taken
