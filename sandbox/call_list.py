"""The list that a rep works from: the best leads as the Salesforce org has them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

QUERY = (
    "SELECT Id, Name, Company, Lead_Score__c, Lead_Score_Bucket__c, Lead_Score_Percentile__c, Lead_Score_Rank__c "
    "FROM Lead WHERE Lead_Score__c != null ORDER BY Lead_Score_Rank__c ASC NULLS LAST, Lead_Score__c DESC LIMIT {count}"
)


def best_leads(org: str, count: int = 10) -> list[dict[str, Any]]:
    """The records of the best leads, asked of the org itself, as its own list view would.

    :param org: address of the sandbox org.
    """
    from lead_scoring.salesforce import connect
    from lead_scoring.settings import load_settings

    salesforce = connect(load_settings(overrides={"salesforce.endpoint": org}).salesforce)
    return list(salesforce.query(QUERY.format(count=count))["records"])


def print_call_list(console: Console, leads: list[dict[str, Any]]) -> None:
    if not leads:
        console.print("\nNo lead in the Salesforce org has a score.")
        return
    console.print(f"\n[bold]The {len(leads)} best leads[/bold], read back from the Salesforce org")
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("lead")
    table.add_column("company", max_width=28, no_wrap=True)
    table.add_column("chance", justify="right")
    table.add_column("bucket")
    table.add_column("percentile", justify="right")
    table.add_column("Salesforce id")
    for place, lead in enumerate(leads, start=1):
        rank, percentile = lead["Lead_Score_Rank__c"], lead["Lead_Score_Percentile__c"]
        table.add_row(
            f"{place if rank is None else rank:,.0f}", lead["Name"], lead["Company"], f"{lead['Lead_Score__c']:.1%}",
            lead["Lead_Score_Bucket__c"], "" if percentile is None else f"{percentile:.1f}", lead["Id"],
        )  # fmt: skip
    console.print(table)
    console.print(f"Where a score comes from: .venv/bin/lead-scoring why {leads[0]['Id']}")
