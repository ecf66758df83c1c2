from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.login import new_session
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer
from sandbox.salesforce_org.values import id_checksum

METADATA = Path(__file__).resolve().parents[2] / "include" / "salesforce"


def ids(count: int) -> list[str]:
    shorts = [f"00Q5e{number:010d}" for number in range(count)]
    return [short + id_checksum(short) for short in shorts]


class Caller:
    """Plain HTTP against an org, as its documentation describes it."""

    def __init__(self, server: OrgServer) -> None:
        self.server = server
        self.faults = server.org.faults
        self.headers = {"Authorization": f"Bearer {new_session(server.org)}"}

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        url = f"{self.server.url}/services/data/v59.0/{path}"
        return requests.request(method, url, headers=headers, timeout=20, **options)

    def job(self, rows: str = "", **request: Any) -> str:
        """Open a job and, with rows, upload and close it. Returns its id."""
        made = self("POST", "jobs/ingest", json={"object": "Lead", "operation": "update", **request})
        job_id = str(made.json()["id"])
        if rows:
            assert self("PUT", f"jobs/ingest/{job_id}/batches", data=rows.encode()).status_code == 201
            assert self("PATCH", f"jobs/ingest/{job_id}", json={"state": "UploadComplete"}).status_code == 200
        return job_id

    def ended(self, job_id: str) -> dict[str, Any]:
        for _ in range(2000):
            info: dict[str, Any] = self("GET", f"jobs/ingest/{job_id}").json()
            if info["state"] in {"JobComplete", "Failed", "Aborted"}:
                return info
        raise AssertionError(json.dumps(info))

    def results(self, job_id: str, kind: str) -> list[str]:
        return self("GET", f"jobs/ingest/{job_id}/{kind}").text.splitlines()[1:]


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Caller]:
    org = Org(tmp_path / "org", read_lead_fields(METADATA), Faults())
    org.seed({"Id": one, "Company": "Company", "LeadSource": "Web"} for one in ids(500))
    server = OrgServer(org).start()
    yield Caller(server)
    server.stop()
