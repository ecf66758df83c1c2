"""The list at the end of the demo is the org's own."""

from __future__ import annotations

import pytest
from rich.console import Console

from lead_scoring.lead_ids import complete_id
from sandbox import stack as laptop
from sandbox.call_list import best_leads, print_call_list
from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer


@pytest.fixture
def server(tmp_path):
    org = Org(tmp_path / "org", read_lead_fields(laptop.HOME / "include" / "salesforce"), Faults())
    server = OrgServer(org).start()
    yield server
    server.stop()


def test_the_call_list_shows_the_ten_best_leads_of_the_org_in_their_rank(server, capsys):
    ids = [complete_id(f"00Q5e{number:010d}") for number in range(15)]
    for place, one in enumerate(ids):
        scored = {
            "Lead_Score__c": 0.2 - place / 100, "Lead_Score_Bucket__c": "Hot", "Lead_Score_Percentile__c": 99.5 - place,
            "Lead_Score_Rank__c": place + 1,
        }  # fmt: skip
        known = {"Id": one, "LastName": f"Advisor {place}", "Company": "Northern Wealth"}
        server.org.seed([known | (scored if place < 12 else {})])
    leads = best_leads(server.url)
    assert [lead["Id"] for lead in leads] == ids[:10]
    print_call_list(Console(width=110), leads)
    lines = [line for line in capsys.readouterr().out.splitlines() if "Advisor" in line]
    cells = [part.strip() for part in lines[0].strip("\u2502").split("\u2502")]
    assert cells == ["1", "Advisor 0", "Northern Wealth", "20.0%", "Hot", "99.5", ids[0]]
    assert len(lines) == 10


def test_an_org_without_scores_says_so(server, capsys):
    print_call_list(Console(), best_leads(server.url))
    assert "No lead in the Salesforce org has a score" in capsys.readouterr().out
