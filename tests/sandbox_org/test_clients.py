"""Clients that nobody here wrote, against the org: simple-salesforce and Airflow's hook with its four logins."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceMalformedRequest

from lead_scoring.salesforce.session import session
from lead_scoring.settings import SalesforceSettings, load_settings
from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.login import Account
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer
from sandbox.salesforce_org.values import id_checksum

HOME = Path(__file__).resolve().parents[2]
IDS = [(short := f"00Q5e{number:010d}") + id_checksum(short) for number in range(2500)]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with private.pem and public.pem of the connected app."""
    folder = tmp_path_factory.mktemp("key")
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "private.pem").write_bytes(text)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "public.pem").write_bytes(public)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[OrgServer]:
    org = Org(tmp_path_factory.mktemp("org"), read_lead_fields(HOME / "include" / "salesforce"), Faults())
    org.seed({"Id": one, "Company": "Company"} for one in IDS)
    made = OrgServer(org, Account(certificate=key / "public.pem")).start()
    yield made
    made.stop()


@pytest.fixture
def settings(server: OrgServer) -> SalesforceSettings:
    return dataclasses.replace(load_settings(HOME, environment={}).salesforce, endpoint=server.url)


@pytest.fixture
def sf(settings: SalesforceSettings) -> Salesforce:
    return Salesforce(
        username="integration@sandbox.example", password="sandbox", security_token="sandbox", session=session(settings)
    )


@pytest.mark.parametrize(
    ("login", "extra"),
    [
        ("integration@sandbox.example", {"security_token": "sandbox"}),
        ("integration@sandbox.example", {"organization_id": "<org>"}),
        ("integration@sandbox.example", {"consumer_key": "lead-scoring", "private_key": "<key>"}),
        (None, {"consumer_key": "lead-scoring", "consumer_secret": "sandbox-secret", "domain": "acme.my"}),
    ],
    ids=["password and token", "password from a known network", "JWT", "client credentials"],
)
def test_airflows_hook_logs_in_and_writes(
    login: str | None,
    extra: dict[str, str],
    server: OrgServer,
    settings: SalesforceSettings,
    key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.providers.salesforce.hooks.salesforce import SalesforceHook

    extra = {name: (key / "private.pem").read_text() if text == "<key>" else text for name, text in extra.items()}
    extra = {name: server.org.organization_id if text == "<org>" else text for name, text in extra.items()}
    password = "sandbox" if "consumer_key" not in extra else None
    connection = {"conn_type": "salesforce", "login": login, "password": password, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_SANDBOX", json.dumps(connection))
    hook = SalesforceHook("salesforce_sandbox", session=session(settings))
    results = hook.get_conn().bulk2.Lead.update(records=[{"Id": IDS[0], "Lead_Score__c": "0.4"}], wait=0.01)
    assert (results[0]["numberRecordsProcessed"], results[0]["numberRecordsFailed"]) == (1, 0)
    assert (
        hook.make_query(f"SELECT Lead_Score__c FROM Lead WHERE Id = '{IDS[0]}'")["records"][0]["Lead_Score__c"] == 0.4
    )
    assert "Lead_Score_Bucket__c" in hook.get_available_fields("Lead")


def test_a_wrong_password_or_key_is_refused(settings: SalesforceSettings) -> None:
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        Salesforce(username="integration@sandbox.example", password="x", security_token="y", session=session(settings))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(SalesforceAuthenticationFailed, match="Signature verification failed"):
        Salesforce(
            username="integration@sandbox.example",
            consumer_key="lead-scoring",
            privatekey=other.decode(),
            session=session(settings),
        )


def test_a_query_pages_through_all_leads(sf: Salesforce) -> None:
    assert sf.query("SELECT COUNT() FROM Lead")["totalSize"] == 2500
    records = sf.query_all("SELECT Id FROM Lead WHERE Company = 'company' ORDER BY Id DESC")["records"]
    assert [record["Id"] for record in records] == sorted(IDS, reverse=True)
    wanted = f"SELECT Id FROM Lead WHERE (Id IN ('{IDS[3][:15]}', '{IDS[4]}') OR Name LIKE 'nobody%') LIMIT 5"
    assert [record["Id"] for record in sf.query(wanted)["records"]] == IDS[3:5]
    with pytest.raises(SalesforceMalformedRequest, match="No such column 'Nonsense__c'"):
        sf.query("SELECT Nonsense__c FROM Lead")


def test_one_lead_can_be_read_and_patched(sf: Salesforce) -> None:
    assert sf.Lead.update(IDS[1], {"Lead_Score__c": 0.123456}) == 204
    assert sf.Lead.get(IDS[1][:15])["Lead_Score__c"] == 0.1235


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"Lead_Score__c": 10}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Lead_Score__c": "many"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Lead_Score_Bucket__c": "x" * 256}, "STRING_TOO_LONG"),
        ({"Lead_Score_Narrative__c": "x" * 32001}, "STRING_TOO_LONG"),
        ({"Lead_Score_Timestamp__c": "yesterday"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Lead_Scor__c": 1}, "INVALID_FIELD"),
        ({"CreatedDate": "2024-01-01"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Company": ""}, "REQUIRED_FIELD_MISSING"),
    ],
)
def test_the_org_keeps_its_field_rules(sf: Salesforce, values: dict[str, object], code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest, match=code):
        sf.Lead.update(IDS[2], values)


def test_bulk_results_tell_accepted_from_failed(sf: Salesforce) -> None:
    rows = [
        {"Id": IDS[5], "Lead_Score__c": "0.5", "Lead_Score_Bucket__c": 'a, "b"\nc'},
        {"Id": "", "Lead_Score__c": "0.5", "Lead_Score_Bucket__c": ""},
        {"Id": IDS[6], "Lead_Score__c": "99", "Lead_Score_Bucket__c": ""},
        {"Id": "00Q000000000000EAA", "Lead_Score__c": "0.5", "Lead_Score_Bucket__c": ""},
    ]
    (result,) = sf.bulk2.Lead.update(records=rows, wait=0.01)
    records = sf.bulk2.Lead.get_all_ingest_records(result["job_id"])
    assert [row["Id"] for row in records["successfulRecords"]] == [IDS[5]]
    assert [row["sf__Error"].split(":")[0] for row in records["failedRecords"]] == [
        "MISSING_ARGUMENT",
        "NUMBER_OUTSIDE_VALID_RANGE",
        "INVALID_CROSS_REFERENCE_KEY",
    ]
    lead = sf.Lead.get(IDS[5])
    assert lead["Lead_Score_Bucket__c"] == 'a, "b"\nc'
    sf.bulk2.Lead.update(records=[{"Id": IDS[5], "Lead_Score__c": "#N/A", "Lead_Score_Bucket__c": ""}], wait=0.01)
    assert sf.Lead.get(IDS[5])["Lead_Score__c"] is None
    assert sf.Lead.get(IDS[5])["Lead_Score_Bucket__c"] == 'a, "b"\nc'
