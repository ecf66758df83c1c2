from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.salesforce_org.__main__ import main
from sandbox.salesforce_org.faults import SWITCHES, Faults, parse_faults
from sandbox.salesforce_org.schema import read_lead_fields
from tests.sandbox_org.conftest import METADATA, Caller, ids

IDS = ids(4)


def test_compressed_and_chunked_bodies_are_read(call: Caller) -> None:
    body = gzip.compress(json.dumps({"Lead_Score__c": 0.3}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert call("PATCH", f"sobjects/Lead/{IDS[0]}", data=body, headers=headers).status_code == 204

    def pieces() -> Iterator[bytes]:
        yield b'{"Lead_Sco'
        yield b're__c": 0.4}'

    assert call("PATCH", f"sobjects/Lead/{IDS[1]}", data=pieces()).status_code == 204
    found = call("POST", "composite/sobjects/Lead", json={"ids": IDS[:2], "fields": ["Lead_Score__c"]}).json()
    assert [lead["Lead_Score__c"] for lead in found] == [0.3, 0.4]
    broken = call("PATCH", f"sobjects/Lead/{IDS[0]}", data=b"not gzip", headers=headers)
    assert broken.status_code == 400


def test_a_composite_update_is_all_or_none_when_asked(call: Caller) -> None:
    records = [{"Id": IDS[0], "Lead_Score__c": 0.5}, {"Id": IDS[1], "Lead_Score__c": 50}]
    some = call("PATCH", "composite/sobjects", json={"records": records}).json()
    assert [result["success"] for result in some] == [True, False]
    records[0]["Lead_Score__c"] = 0.6
    none = call("PATCH", "composite/sobjects", json={"records": records, "allOrNone": True}).json()
    assert none[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert call("GET", f"sobjects/Lead/{IDS[0]}").json()["Lead_Score__c"] == 0.5
    many = call("PATCH", "composite/sobjects", json={"records": records * 101})
    assert (many.status_code, many.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


def test_a_dropped_reply_leaves_the_write_done(call: Caller) -> None:
    call.faults.set({"drop_reply": 1})
    with pytest.raises(requests.ConnectionError):
        call("PATCH", f"sobjects/Lead/{IDS[0]}", json={"Lead_Score__c": 0.7})
    assert call("GET", f"sobjects/Lead/{IDS[0]}").json()["Lead_Score__c"] == 0.7


def test_switches_give_the_answers_that_an_org_gives(call: Caller) -> None:
    def patch() -> requests.Response:
        return call("PATCH", f"sobjects/Lead/{IDS[0]}", json={"Lead_Score__c": 0.7})

    expected = {
        "unavailable": (503, "SERVER_UNAVAILABLE"),
        "quota_used_up": (403, "REQUEST_LIMIT_EXCEEDED"),
        "lock_rows": (400, "UNABLE_TO_LOCK_ROW"),
        "reject_rows": (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        "expire_session": (401, "INVALID_SESSION_ID"),
    }
    for switch, (status, code) in expected.items():
        call.faults.clear()
        call.faults.set({switch: 1})
        answer = patch()
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code), switch
    assert patch().status_code == 401  # an expired session stays expired


def test_the_daily_quota_is_counted_and_enforced(call: Caller) -> None:
    call.server.org.daily_requests = 3
    assert call("GET", "limits").json()["DailyApiRequests"] == {"Max": 3, "Remaining": 2}
    assert [call("GET", f"sobjects/Lead/{IDS[0]}").status_code for _ in range(3)] == [200, 200, 403]


def test_a_converted_lead_is_found_but_not_written(call: Caller) -> None:
    requests.post(f"{call.server.url}/sandbox/lead/{IDS[0]}/convert", timeout=20).raise_for_status()
    answer = call("PATCH", f"sobjects/Lead/{IDS[0]}", json={"Lead_Score__c": 0.7})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "CANNOT_UPDATE_CONVERTED_LEAD")
    wanted = {"q": "SELECT Id FROM Lead WHERE IsConverted = TRUE"}
    found = call("GET", "query", params=wanted).json()["records"]
    assert [record["Id"] for record in found] == [IDS[0]]


def test_a_deleted_lead_is_neither_found_nor_written(call: Caller) -> None:
    requests.delete(f"{call.server.url}/sandbox/lead/{IDS[0]}", timeout=20).raise_for_status()
    answer = call("PATCH", f"sobjects/Lead/{IDS[0]}", json={"Lead_Score__c": 0.7})
    assert answer.json()[0]["errorCode"] == "ENTITY_IS_DELETED"
    assert call("DELETE", f"sobjects/Lead/{IDS[1]}").status_code == 405
    wanted = {"q": f"SELECT Id FROM Lead WHERE Id = '{IDS[0]}'"}
    assert call("GET", "query", params=wanted).json()["totalSize"] == 0
    assert call("GET", "queryAll", params=wanted).json()["totalSize"] == 1


def test_the_page_shows_leads_a_lead_and_the_switches(call: Caller) -> None:
    call("PATCH", f"sobjects/Lead/{IDS[2]}", json={"Lead_Score__c": 0.9, "Lead_Score_Bucket__c": "<b>Hot</b>"})
    url = call.server.url
    leads = requests.get(url, timeout=20).text
    assert leads.index(IDS[2]) < leads.index(IDS[0])
    assert "&lt;b&gt;Hot&lt;/b&gt;" in leads
    assert "<b>Hot</b>" not in leads
    lead = requests.get(f"{url}/lead/{IDS[2]}", timeout=20).text
    assert "Lead_Score_Percentile__c" in lead
    assert "History" in lead
    requests.post(f"{url}/faults", data={"lock_rows": "2", "drop_reply": "0.5"}, timeout=20).raise_for_status()
    shown = requests.get(f"{url}/sandbox/faults", timeout=20).json()
    assert (shown["lock_rows"], shown["drop_reply"]) == (2, 0.5)
    foreign = requests.post(f"{url}/faults", data={"lock_rows": "9"}, headers={"Origin": "http://evil"}, timeout=20)
    assert foreign.status_code == 403
    assert requests.put(f"{url}/sandbox/faults", json={"nonsense": 1}, timeout=20).status_code == 400


def test_faults_are_the_same_for_the_same_seed() -> None:
    def draws() -> list[bool]:
        faults = Faults({"seed": 5, "unavailable": 0.5})
        return [faults.hit("unavailable") for _ in range(50)]

    assert draws() == draws()
    assert 10 < sum(draws()) < 40


def test_the_schema_is_the_deployable_metadata() -> None:
    fields = read_lead_fields(METADATA)
    score = fields["Lead_Score__c"]
    assert (score.kind, score.precision, score.scale) == ("Number", 5, 4)
    assert fields["Lead_Score_Narrative__c"].length == 32000
    permissions = (METADATA / "force-app" / "permissionsets" / "Lead_Scoring_Sync.permissionset-meta.xml").read_text()
    ours = {path.name.removesuffix(".field-meta.xml") for path in METADATA.rglob("*.field-meta.xml")}
    assert {name for name in ours if f"<field>Lead.{name}</field>" in permissions} == ours
    assert "<allowDelete>false</allowDelete>" in permissions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faults", "nonsense=1"], "fault 'nonsense' is unknown"),
        (["--faults", "lock_rows=many"], "fault 'lock_rows=many' is not name=number"),
        (["--metadata", "/nowhere"], "/nowhere holds no objects/Lead/fields"),
        (["--leads", "/nowhere.parquet"], "/nowhere.parquet"),
    ],
)
def test_wrong_options_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state", str(tmp_path / "org"), "--port", "0", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_every_switch_is_understood_on_the_command_line() -> None:
    assert parse_faults(",".join(f"{name}=1" for name in SWITCHES)) == dict.fromkeys(SWITCHES, 1)
