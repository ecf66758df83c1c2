"""The HTTP server around the org: sessions, counting, compression, faults, and the web page."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.salesforce_org import page
from sandbox.salesforce_org.jobs import Jobs
from sandbox.salesforce_org.login import Account, LoginRefused, soap_login, token_login
from sandbox.salesforce_org.org import USER_ID, Org, now_text
from sandbox.salesforce_org.rest import ApiError, Reply, Request, Rest
from sandbox.salesforce_org.values import RowError, record_id

VERSIONS = [f"{number}.0" for number in range(50, 66)]
DATA_PATH = re.compile(r"/services/data/v(\d+\.\d)(?:/(.*))?")
SOAP_PATH = re.compile(r"/services/Soap/[uc]/(\d+\.\d)(?:/.*)?")
LEADS_ON_PAGE = 100


class OrgServer(ThreadingHTTPServer):
    """The org on one port of the loopback interface. Port 0 takes a free one: see ``url``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, org: Org, account: Account | None = None, port: int = 0, seconds_per_commit: float = 0.0
    ) -> None:
        self.org = org
        self.account = account or Account()
        self.jobs = Jobs(org, seconds_per_commit)
        self.rest = Rest(org, self.jobs)
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> OrgServer:
        """Serve from a thread; :meth:`stop` ends it."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.jobs.close()
        self.org.close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: OrgServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: a request a line would hide what matters."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        try:
            body = self._read_body()
        except (ValueError, OSError, EOFError, zlib.error) as error:
            self._send(ApiError(400, "UNREADABLE_BODY", str(error)).reply())
            self.close_connection = True
            return
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if path.startswith("/services/data"):
            self._serve_api(path, query, body)
        elif path.startswith(("/services/", "/id/")):
            self._send(self._serve_login(path, body))
        else:
            self._send(self._serve_page(path, query, body))

    def _serve_api(self, path: str, query: dict[str, str], body: bytes) -> None:
        org, faults = self.server.org, self.server.org.faults
        match = DATA_PATH.fullmatch(path)
        if path.rstrip("/") == "/services/data":
            self._send(Reply(200, [{"label": v, "url": f"/services/data/v{v}", "version": v} for v in VERSIONS]))
            return
        faults.pause()
        if faults.hit("unavailable"):
            self._send(ApiError(503, "SERVER_UNAVAILABLE", "The server is temporarily unavailable").reply())
            return
        token = self.headers.get("Authorization", "").partition(" ")[2]
        if faults.hit("expire_session"):
            org.close_session(token)
        if not org.has_session(token):
            self._send(ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid").reply())
            return
        used = org.count(f"requests {now_text()[:10]}")
        limits = {"Sforce-Limit-Info": f"api-usage={used}/{org.daily_requests}"}
        is_limits = match is not None and (match[2] or "").startswith("limits")
        if not is_limits and (faults.hit("quota_used_up") or used > org.daily_requests):
            self._send(ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").reply())
            return
        if match is None or match[1] not in VERSIONS:
            self._send(ApiError(404, "NOT_FOUND", "The requested resource does not exist").reply())
            return
        reply = self.server.rest.answer(Request(self.command, match[2] or "", match[1], query, body, self._base()))
        if self.command != "GET" and reply.status < 300 and faults.hit("drop_reply"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(Reply(reply.status, reply.body, {**limits, **reply.headers}))

    def _serve_login(self, path: str, body: bytes) -> Reply:
        server, base = self.server, self._base()
        if path == "/services/oauth2/revoke":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            server.org.close_session(form.get("token", ""))
            return Reply(200)
        if match := SOAP_PATH.fullmatch(path):
            status, envelope = soap_login(server.org, server.account, body, match[1], base)
            return Reply(status, envelope.encode(), {"Content-Type": "text/xml; charset=UTF-8"})
        if path == "/services/oauth2/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            try:
                return Reply(
                    200, token_login(server.org, server.account, form, self.headers.get("Authorization", ""), base)
                )
            except LoginRefused as refused:
                return Reply(400, {"error": refused.error, "error_description": str(refused)})
        if path == "/services/oauth2/userinfo" or path.startswith("/id/"):
            user = {
                "user_id": USER_ID,
                "organization_id": server.org.organization_id,
                "preferred_username": server.account.username,
            }
            urls = {
                "rest": f"{base}/services/data/v{{version}}/",
                "sobjects": f"{base}/services/data/v{{version}}/sobjects/",
            }
            return Reply(200, {**user, "username": server.account.username, "urls": urls})
        return ApiError(404, "NOT_FOUND", "The requested resource does not exist").reply()

    def _serve_page(self, path: str, query: dict[str, str], body: bytes) -> Reply:
        org = self.server.org
        parts = [part for part in path.split("/") if part]
        if self.command != "GET" and self.headers.get("Origin", self._base()) != self._base():
            return Reply(403, b"only from the org's own page\n", {"Content-Type": "text/plain"})
        try:
            match [self.command, *parts]:
                case ["GET", "healthz"]:
                    return Reply(200, {"status": "ok"})
                case ["GET"]:
                    return _html(self._leads(query.get("q", "")))
                case ["GET", "lead", lead_id] if lead := org.get(record_id(lead_id)):
                    return _html(page.lead_page(lead, org.fields, org.history(lead["Id"])))
                case ["GET", "faults"]:
                    return _html(page.faults_page(org.faults.show()))
                case ["POST", "faults"]:
                    form = {name: float(values[0] or 0) for name, values in parse_qs(body.decode()).items()}
                    org.faults.set({n: int(v) if v.is_integer() else v for n, v in form.items()})
                    return Reply(303, None, {"Location": "/faults"})
                case ["GET", "sandbox", "faults"]:
                    return Reply(200, org.faults.show())
                case ["PUT", "sandbox", "faults"]:
                    org.faults.set(json.loads(body))
                    return Reply(200, org.faults.show())
                case ["GET", "sandbox", "history"]:
                    return Reply(200, org.history(query.get("lead")))
                case ["POST", "sandbox", "leads"]:
                    return Reply(200, {"added": org.seed(json.loads(body))})
                case ["PATCH", "sandbox", "lead", lead_id]:
                    org.update(lead_id, json.loads(body), "page")
                    return Reply(204)
                case ["POST", "sandbox", "lead", lead_id, "convert"]:
                    org.convert(lead_id)
                    return Reply(204)
                case ["DELETE", "sandbox", "lead", lead_id]:
                    org.recycle(lead_id)
                    return Reply(204)
        except (ValueError, RowError) as error:
            return Reply(400, {"error": str(error)})
        return Reply(404, b"not found\n", {"Content-Type": "text/plain"})

    def _leads(self, search: str) -> str:
        org = self.server.org
        wanted = search.lower()
        found = [
            lead
            for lead in org.leads()
            if wanted in f"{lead['Id']} {lead['Name']} {lead['Company']} {lead.get('Lead_Score_Bucket__c')}".lower()
        ]
        found.sort(key=lambda lead: (-(lead.get("Lead_Score__c") or 0.0), lead.get("Lead_Score_Rank__c") or 0.0))
        return page.leads_page(found[:LEADS_ON_PAGE], org.fields, len(found), search)

    def _base(self) -> str:
        return f"http://{self.headers.get('Host', self.server.url.removeprefix('http://'))}"

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                continue  # trailers
            data = b"".join(pieces)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        return gzip.decompress(data) if self.headers.get("Content-Encoding", "") == "gzip" else data

    def _send(self, reply: Reply) -> None:
        headers = {"Content-Type": "application/json;charset=UTF-8", **reply.headers}
        body = reply.body if isinstance(reply.body, bytes) else b""
        if reply.body is not None and not isinstance(reply.body, bytes):
            body = json.dumps(reply.body).encode()
        if len(body) > 1024 and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if reply.status != 204:
            self.wfile.write(body)


def _html(text: str) -> Reply:
    return Reply(200, text.encode(), {"Content-Type": "text/html; charset=utf-8"})
