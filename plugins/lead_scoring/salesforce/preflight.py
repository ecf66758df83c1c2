"""Look before writing: does the org have every field, of the right type and size, and may this user edit it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lead_scoring.errors import BadInput, Transient
from lead_scoring.salesforce.client import RECORDS_PER_READ, OrgClient
from lead_scoring.salesforce.fields import MappedField

DESCRIBED_AS = {
    "Number": "double",
    "Text": "string",
    "LongTextArea": "textarea",
    "Date": "date",
    "DateTime": "datetime",
    "Checkbox": "boolean",
    "Picklist": "picklist",
}
REQUESTS_PER_JOB = 20  # create, upload, close, three results, and some looks at its state


def check_fields(client: OrgClient, fields: Sequence[MappedField]) -> None:
    """:raises BadInput: the org lacks a field, has it smaller or otherwise, or does not let this user edit it."""
    described = {field["name"]: field for field in client.get("sobjects/Lead/describe")["fields"]}
    problems = [problem for field in fields if (problem := _problem(field, described.get(field.name)))]
    if problems:
        raise BadInput(
            f"the org is not ready: {'; '.join(problems)}. Deploy include/salesforce (sf project deploy start) and "
            "give the sync's user the permission set Lead_Scoring_Sync"
        )


def _problem(field: MappedField, found: dict[str, Any] | None) -> str:
    if found is None:
        return f"Lead has no field {field.name} that this user can see"
    if found["type"] != DESCRIBED_AS[field.kind]:
        return f"{field.name} is of type {found['type']}, it must be {field.kind}"
    if field.kind in {"Text", "LongTextArea"} and found["length"] < field.length:
        return f"{field.name} holds {found['length']} characters, it must hold {field.length}"
    offered = {entry["value"] for entry in found.get("picklistValues", ()) if entry.get("active", True)}
    if missing := sorted(set(field.values) - offered):
        return f"{field.name} lacks the value {missing[0]!r}, it must offer {list(field.values)}"
    if field.kind == "Number" and (
        found["scale"] < field.scale or found["precision"] - found["scale"] < field.precision - field.scale
    ):
        size = f"({found['precision']},{found['scale']})"
        return f"{field.name} is Number{size}, it must be ({field.precision},{field.scale})"
    return "" if found["updateable"] else f"{field.name} cannot be edited by this user"


def check_quota(client: OrgClient, rows: int) -> dict[str, int]:
    """Requests that writing so many rows needs, and what the org has left today.

    :raises Transient: it has too few.
    """
    jobs = -(-rows // client.settings.rows_per_job)
    needed = -(-rows // RECORDS_PER_READ) + jobs * REQUESTS_PER_JOB
    left = client.requests_left()
    if rows and needed > left:
        raise Transient(
            f"the org has {left} API requests left today, {rows} rows need about {needed}; they free up over 24 hours"
        )
    return {"needed": needed, "left": left}
