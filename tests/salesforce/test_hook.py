from __future__ import annotations

import json

import pytest

from lead_scoring.salesforce import connect, lead_list_url, session
from tests.salesforce.conftest import Desk, score_rows


def test_the_sync_runs_through_airflows_hook_and_outlives_its_session(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.salesforce.hooks.salesforce import SalesforceHook

    connection = {
        "conn_type": "salesforce",
        "login": "integration@sandbox.example",
        "password": "sandbox",
        "extra": {"security_token": "sandbox", "version": "59.0"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_TEST", json.dumps(connection))
    sf = SalesforceHook("salesforce_test", session=session(desk.settings)).get_conn()
    desk.faults.set({"expire_session": 2})
    output = desk.sync(score_rows(dict.fromkeys(desk.ids, 0.2)), sf=sf)
    assert output.counts["accepted"] == 12
    assert set(desk.scores_in_org().values()) == {0.2}


def test_the_task_links_to_the_leads_of_the_org(desk: Desk) -> None:
    sf = connect(desk.settings)
    assert lead_list_url(sf, desk.settings) == f"{desk.server.url}/"
