"""Leads for the org to start with, from a table of leads or of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lead_scoring.tables import open_table
from sandbox.salesforce_org.values import RowError, record_id

FIELDS = {"lead_id": "Id", "company": "Company", "lead_source": "LeadSource", "advisor_crd": "FA_CRD__c"}


def read_leads(path: Path) -> list[dict[str, Any]]:
    """Leads from a table with ``lead_id`` and, where it has them, company, source and advisor number.

    Rows whose ``lead_id`` is not a record id are left out: no org can hold them, and the scoring sets them aside too.
    No source table has names of people, so a lead is called by its advisor number.

    :raises ValueError: there is no ``lead_id`` column.
    """
    table = open_table(path)
    present = table.names
    if "lead_id" not in present:
        raise ValueError(f"{path} has no column lead_id; it has {present}")
    names = [name for name in FIELDS if name in present]
    leads = [
        {FIELDS[name]: str(value) for name, value in row.items() if value is not None}
        for part in table.parts
        for batch in part.rows(names)
        for row in batch.to_pylist()
        if _is_id(row["lead_id"])
    ]
    return [lead | {"LastName": f"Advisor {lead['FA_CRD__c']}"[:80]} if "FA_CRD__c" in lead else lead for lead in leads]


def _is_id(value: object) -> bool:
    try:
        record_id(str(value))
    except RowError:
        return False
    return True
