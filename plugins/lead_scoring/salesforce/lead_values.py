"""What Salesforce shows of a lead now, under the names of ``lead_scores``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.fields import load_fields
from lead_scoring.settings import SalesforceSettings

if TYPE_CHECKING:
    from simple_salesforce import Salesforce


def read_lead(sf: Salesforce, lead_id: str, settings: SalesforceSettings, config_folder: Path) -> dict[str, Any]:
    """Column of ``lead_scores`` to the org's value, for the fields whose change is a reason to write.

    All values are None if the org has no such lead.

    :raises Transient: the org does not answer.
    """
    fields = [field for field in load_fields(config_folder) if field.compare]
    ((_, record),) = OrgClient(sf, settings).read_leads([lead_id], [field.name for field in fields])
    return {field.column: (record or {}).get(field.name) for field in fields}
