"""The REST interface below ``/services/data/v<version>/``: what each path does to the org."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce_org.jobs import FINAL, JobError, Jobs
from sandbox.salesforce_org.org import USER_ID, Org, now_text
from sandbox.salesforce_org.soql import Query, SoqlError, parse
from sandbox.salesforce_org.values import RowError, record_id

RECORDS_PER_PAGE = 2000
RESULT_KINDS = {"successfulResults": "successful", "failedResults": "failed", "unprocessedrecords": "unprocessed"}
# Single records that clients ask for when they get to know an org.
ORGANIZATION = {
    "Name": "Sandbox",
    "IsSandbox": True,
    "InstanceName": "SANDBOX",
    "OrganizationType": "Developer Edition",
    "NamespacePrefix": None,
    "TrialExpirationDate": None,
}
USER = {
    "Id": USER_ID,
    "Username": "integration@sandbox.example",
    "Name": "Sandbox User",
    "Email": "integration@sandbox.example",
}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    version: str
    query: Mapping[str, str]
    body: bytes
    base: str

    def json(self) -> dict[str, Any]:
        """:raises ApiError: the body is not a JSON object."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise ApiError(400, "JSON_PARSER_ERROR", str(error)) from None
        if not isinstance(value, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "a JSON object was expected")
        return value


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def reply(self) -> Reply:
        return Reply(self.status, [{"errorCode": self.code, "message": str(self)}])


class Rest:
    """Answers requests from the org and its jobs."""

    def __init__(self, org: Org, jobs: Jobs) -> None:
        self._org = org
        self._jobs = jobs
        organization = {**ORGANIZATION, "Id": org.organization_id}
        self._others: dict[str, dict[str, Any]] = {"Organization": organization, "User": USER}

    def answer(self, request: Request) -> Reply:
        """The reply to one request whose session was checked already."""
        try:
            return self._route(request)
        except ApiError as error:
            return error.reply()
        except JobError as error:
            return ApiError(error.status, error.code, error.message).reply()
        except SoqlError as error:
            return ApiError(400, error.code, str(error)).reply()
        except RowError as error:
            status = {"ENTITY_IS_DELETED": 404, "INVALID_CROSS_REFERENCE_KEY": 404}.get(error.code, 400)
            return Reply(status, [{"errorCode": error.code, "message": error.message, "fields": list(error.fields)}])

    def _route(self, request: Request) -> Reply:
        parts = [part for part in request.path.split("/") if part]
        match [request.method, *parts]:
            case ["GET"]:
                return Reply(
                    200, {name: f"{self._root(request)}/{name}" for name in ("sobjects", "query", "limits", "jobs")}
                )
            case ["GET", "limits"]:
                return Reply(200, self._limits())
            case ["GET", "query" | "queryAll" as name]:
                return self._query(request, request.query.get("q", ""), 0, name)
            case ["GET", "query" | "queryAll" as name, locator]:
                return self._next_page(request, locator, name)
            case ["GET", "sobjects"]:
                return Reply(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [self._about(request)]})
            case ["GET", "sobjects", "Lead"]:
                return Reply(200, {"objectDescribe": self._about(request), "recentItems": []})
            case ["GET", "sobjects", "Lead", "describe"]:
                fields = [one.describe() for one in self._org.fields.values()]
                return Reply(
                    200, {**self._about(request), "fields": fields, "recordTypeInfos": [], "childRelationships": []}
                )
            case ["GET", "sobjects", entity, one_id] if self._others.get(entity, {}).get("Id") == one_id:
                return Reply(200, self._record(request, entity, self._others[entity], self._others[entity]))
            case [method, "sobjects", "Lead", lead_id]:
                return self._one_lead(request, method, lead_id)
            case ["PATCH", "composite", "sobjects"]:
                return self._update_many(request)
            case ["POST" | "GET", "composite", "sobjects", "Lead"]:
                return self._retrieve_many(request)
            case [method, "jobs", "ingest", *rest]:
                return self._ingest(request, method, rest)
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")

    def _root(self, request: Request) -> str:
        return f"/services/data/v{request.version}"

    def _about(self, request: Request) -> dict[str, Any]:
        root = f"{self._root(request)}/sobjects/Lead"
        return {
            "name": "Lead",
            "label": "Lead",
            "labelPlural": "Leads",
            "keyPrefix": "00Q",
            "custom": False,
            "createable": False,
            "updateable": True,
            "deletable": False,
            "queryable": True,
            "retrieveable": True,
            "urls": {"sobject": root, "describe": f"{root}/describe", "rowTemplate": f"{root}/{{ID}}"},
        }

    def _limits(self) -> dict[str, Any]:
        used = self._org.count(f"requests {now_text()[:10]}", 0)
        left = 0 if self._org.faults.show()["quota_used_up"] >= 1 else max(0, self._org.daily_requests - used)
        jobs = len(self._jobs.all())
        return {
            "DailyApiRequests": {"Max": self._org.daily_requests, "Remaining": left},
            "DailyBulkApiBatches": {"Max": 15000, "Remaining": max(0, 15000 - jobs)},
            "DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 10000},
        }

    def _query(self, request: Request, text: str, start: int, name: str) -> Reply:
        query = parse(text, self._known)
        if request.query.get("columns") == "true":
            return Reply(200, {"entityName": query.object, "columnMetadata": self._columns(query)})
        if query.object == "Lead":
            records = query.run(self._org.leads(deleted=name == "queryAll"))
        else:
            records = query.run([self._others[query.object]])
        if query.fields is None:
            return Reply(200, {"totalSize": len(records), "done": True, "records": []})
        page = records[start : start + RECORDS_PER_PAGE]
        shown = [self._record(request, query.object, record, query.fields) for record in page]
        body: dict[str, Any] = {"totalSize": len(records), "done": start + len(page) >= len(records), "records": shown}
        if not body["done"]:
            cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
            body["nextRecordsUrl"] = f"{self._root(request)}/{name}/{cursor}-{start + len(page)}"
        return Reply(200, body)

    def _columns(self, query: Query) -> list[dict[str, Any]]:
        """What a query would return: the Salesforce CLI asks before it draws a table."""
        kinds = {name: field.describe()["soapType"] for name, field in self._org.fields.items()}
        return [
            {
                "columnName": name,
                "displayName": name,
                "aggregate": False,
                "custom": name.endswith("__c"),
                "joinColumns": [],
                "textType": kinds.get(name) == "xsd:string",
                "numberType": kinds.get(name) == "xsd:double",
                "booleanType": kinds.get(name) == "xsd:boolean",
            }
            for name in query.fields or ()
        ]

    def _next_page(self, request: Request, locator: str, name: str) -> Reply:
        cursor, _, start = locator.rpartition("-")
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            return self._query(request, text, int(start), name)
        except ValueError:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from None

    def _known(self, entity: str, name: str) -> str | None:
        if entity == "Lead":
            found = self._org.field(name)
            return found.name if found else None
        if entity not in self._others:
            raise SoqlError(f"sObject type '{entity}' is not supported.", "INVALID_TYPE")
        return {key.lower(): key for key in self._others[entity]}.get(name.lower())

    def _record(self, request: Request, entity: str, record: Mapping[str, Any], names: Any) -> dict[str, Any]:
        url = f"{self._root(request)}/sobjects/{entity}/{record['Id']}"
        return {"attributes": {"type": entity, "url": url}, **{name: record[name] for name in names}}

    def _one_lead(self, request: Request, method: str, lead_id: str) -> Reply:
        if method == "GET":
            record = self._org.get(record_id(lead_id))
            if record is None:
                raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
            names = self._names(request.query["fields"].split(",")) if "fields" in request.query else self._org.fields
            return Reply(200, self._record(request, "Lead", record, names))
        if method == "PATCH":
            self._org.update(lead_id, request.json(), "rest")
            return Reply(204)
        raise ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are GET,PATCH")

    def _names(self, wanted: list[str]) -> list[str]:
        names = []
        for name in wanted:
            if (found := self._org.field(name.strip())) is None:
                raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on entity 'Lead'.")
            names.append(found.name)
        return list(dict.fromkeys(["Id", *names]))

    def _update_many(self, request: Request) -> Reply:
        body = request.json()
        records = body.get("records", [])
        if len(records) > 200:
            raise ApiError(
                400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records into this call"
            )
        results: list[dict[str, Any]] = []
        try:
            with self._org.transaction():
                for record in records:
                    values = {name: value for name, value in record.items() if name.lower() not in {"id", "attributes"}}
                    results.append(_outcome(lambda r=record, v=values: self._org.update(_id_of(r), v, "rest")))
                if body.get("allOrNone") and not all(result["success"] for result in results):
                    raise _RolledBackError
        except _RolledBackError:
            undone = RowError(
                "ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because not all records were valid"
            )
            results = [r if not r["success"] else {"success": False, "errors": [undone.json()]} for r in results]
        return Reply(200, results)

    def _retrieve_many(self, request: Request) -> Reply:
        if request.method == "POST":
            body = request.json()
            ids, wanted = body.get("ids", []), body.get("fields", [])
        else:
            ids, wanted = request.query.get("ids", "").split(","), request.query.get("fields", "").split(",")
        if len(ids) > 2000:
            raise ApiError(400, "EXCEEDED_ID_LIMIT", "cannot retrieve more than 2000 records in this call")
        names = self._names(wanted)
        found = [self._org.get(record_id(lead_id)) for lead_id in ids]
        return Reply(200, [self._record(request, "Lead", one, names) if one else None for one in found])

    def _ingest(self, request: Request, method: str, rest: list[str]) -> Reply:
        match [method, *rest]:
            case ["POST"]:
                return Reply(200, self._jobs.create(request.json(), request.version))
            case ["GET"]:
                return Reply(200, {"done": True, "records": self._jobs.all(), "nextRecordsUrl": None})
            case ["PUT", job_id, "batches"]:
                self._jobs.upload(job_id, request.body)
                return Reply(201)
            case ["PATCH", job_id]:
                return Reply(200, self._jobs.set_state(job_id, str(request.json().get("state"))))
            case ["GET", job_id]:
                if self._jobs.get(job_id)["state"] in FINAL and self._org.faults.hit("lose_job"):
                    self._jobs.delete(job_id)
                return Reply(200, self._jobs.get(job_id))
            case ["DELETE", job_id]:
                self._jobs.delete(job_id)
                return Reply(204)
            case ["GET", job_id, kind]:
                # The guide writes unprocessedrecords, clients write unprocessedRecords: the org takes both.
                kinds = {name.lower(): value for name, value in RESULT_KINDS.items()}
                if kind.lower() in kinds:
                    text = self._jobs.results(job_id, kinds[kind.lower()])
                    return Reply(200, text.encode(), {"Content-Type": "text/csv"})
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")


class _RolledBackError(Exception):
    pass


def _id_of(record: Mapping[str, Any]) -> str:
    return str(next((value for name, value in record.items() if name.lower() == "id"), "") or "")


def _outcome(update: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"id": update(), "success": True, "errors": []}
    except RowError as error:
        return {"success": False, "errors": [error.json()]}
