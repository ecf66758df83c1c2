"""What Salesforce shows of a lead now, beside what the sync would write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.fields import canonical, encode, load_fields
from lead_scoring.settings import SalesforceSettings

if TYPE_CHECKING:
    from simple_salesforce import Salesforce


def shown_of(
    sf: Salesforce, score: Mapping[str, Any], settings: SalesforceSettings, config_folder: Path
) -> dict[str, tuple[Any, bool]]:
    """Column to the org's value of it, and whether that is what the sync would write of this row.

    For the fields whose change is a reason to write. Compared is what the sync compares: a number to its field's
    decimals, a text as the org keeps it. Every value is None if the org has no such lead.

    :param score: a row of ``lead_scores``.
    :raises Transient: the org does not answer.
    """
    import pyarrow as pa

    fields = [field for field in load_fields(config_folder) if field.compare and field.column in score]
    ((_, record),) = OrgClient(sf, settings).read_leads([score["lead_id"]], [field.name for field in fields])
    found = {}
    for field in fields:
        value = (record or {}).get(field.name)
        written = encode(field, pa.array([score[field.column]]))[0].as_py()
        found[field.column] = (value, record is not None and canonical(field, value) == written)
    return found
