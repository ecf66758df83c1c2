from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from tests.sandbox_org.conftest import METADATA, Caller, ids

IDS = ids(500)
ROWS = "Id,Lead_Score__c\n" + "".join(f"{one},0.5\n" for one in IDS)


def test_a_job_walks_through_its_states_and_counts(call: Caller) -> None:
    job_id = call.job()
    assert call("GET", f"jobs/ingest/{job_id}").json()["state"] == "Open"
    assert call("GET", f"jobs/ingest/{job_id}/successfulResults").json()[0]["errorCode"] == "INVALIDJOBSTATE"
    job_id = call.job(ROWS)
    info = call.ended(job_id)
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 500, 0)
    assert len(call.results(job_id, "successfulResults")) == 500


def test_data_are_taken_once_and_only_while_the_job_is_open(call: Caller) -> None:
    job_id = call.job()
    assert call("PUT", f"jobs/ingest/{job_id}/batches", data=ROWS.encode()).status_code == 201
    assert call("PUT", f"jobs/ingest/{job_id}/batches", data=ROWS.encode()).status_code == 400
    assert call("DELETE", f"jobs/ingest/{job_id}").status_code == 400
    assert call("PATCH", f"jobs/ingest/{job_id}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert call("PATCH", f"jobs/ingest/{job_id}", json={"state": "UploadComplete"}).status_code == 400
    assert call("DELETE", f"jobs/ingest/{job_id}").status_code == 204
    assert call("GET", f"jobs/ingest/{job_id}").status_code == 404


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("Id,Nonsense__c\nx,1\n", "InvalidBatch : Field name not found : Nonsense__c"),
        ("Lead_Score__c\n1\n", "InvalidBatch : Field name not found : Id"),
        ("Id,Lead_Score__c\r\nx,1\r\n", "ClientInputError : LineEnding is invalid"),
    ],
)
def test_a_file_that_makes_no_sense_fails_the_job(call: Caller, rows: str, message: str) -> None:
    job_id = call.job(rows)
    info = call.ended(job_id)
    assert info["state"] == "Failed"
    assert info["errorMessage"].startswith(message)


def test_the_only_operation_is_update(call: Caller) -> None:
    for operation in ("insert", "upsert", "delete", "hardDelete"):
        answer = call("POST", "jobs/ingest", json={"object": "Lead", "operation": operation})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALIDOPERATION")


def test_an_aborted_job_accounts_for_every_row(call: Caller) -> None:
    call.faults.set({"abort_job": 1})
    job_id = call.job(ROWS)
    assert call.ended(job_id)["state"] == "Aborted"
    done, left = call.results(job_id, "successfulResults"), call.results(job_id, "unprocessedrecords")
    assert (len(done), len(left)) == (250, 250)
    assert {row["lead_id"] for row in call.server.org.history()} == set(IDS[:250])


def test_a_job_that_fails_half_way_leaves_rows_unprocessed(call: Caller) -> None:
    call.faults.set({"unprocessed_rows": 1})
    job_id = call.job(ROWS)
    info = call.ended(job_id)
    assert (info["state"], info["errorMessage"]) == ("Failed", "InternalServerError : the job was interrupted")
    assert len(call.results(job_id, "unprocessedRecords")) == 250


def test_a_lost_job_is_not_found(call: Caller) -> None:
    call.faults.set({"lose_job": 1})
    job_id = call.job(ROWS)
    while (answer := call("GET", f"jobs/ingest/{job_id}")).status_code == 200:
        continue
    assert answer.status_code == 404
    assert len(call.server.org.history()) == 500


def test_an_org_that_is_killed_goes_on_with_its_job(tmp_path: Path) -> None:
    pq.write_table(pa.table({"lead_id": IDS, "company": ["Company"] * 500}), tmp_path / "leads.parquet")
    command = [sys.executable, "-m", "sandbox.salesforce_org", "--port", "0", "--state", str(tmp_path / "org")]
    command += ["--leads", str(tmp_path / "leads.parquet"), "--commit-seconds"]

    def start(seconds: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen([*command, seconds], cwd=METADATA.parents[1], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        return process, found[0]

    process, url = start("30")
    login = {"grant_type": "client_credentials", "client_id": "lead-scoring", "client_secret": "sandbox-secret"}
    token = requests.post(f"{url}/services/oauth2/token", data=login, timeout=20).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    jobs = "/services/data/v59.0/jobs/ingest"
    request = {"object": "Lead", "operation": "update"}
    job_id = requests.post(f"{url}{jobs}", json=request, headers=headers, timeout=20).json()["id"]
    requests.put(f"{url}{jobs}/{job_id}/batches", data=ROWS, headers=headers, timeout=20)
    requests.patch(f"{url}{jobs}/{job_id}", json={"state": "UploadComplete"}, headers=headers, timeout=20)
    while (
        requests.get(f"{url}{jobs}/{job_id}", headers=headers, timeout=20).json().get("numberRecordsProcessed") != 200
    ):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)

    process, url = start("0")
    try:
        while (info := requests.get(f"{url}{jobs}/{job_id}", headers=headers, timeout=20).json())[
            "state"
        ] == "InProgress":
            time.sleep(0.02)
        assert (info["state"], info["numberRecordsProcessed"]) == ("JobComplete", 500)
        history = requests.get(f"{url}/sandbox/history", timeout=20).json()
        assert [entry["lead_id"] for entry in history] == IDS  # each row once, although the process died in between
    finally:
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout is not None
        process.stdout.close()
