"""Logging in: what passes is tried again, what lasts says what to do, and no value of a login is ever repeated."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from lead_scoring.cli import main
from lead_scoring.errors import BadInput, LeadScoringError, Transient
from lead_scoring.salesforce import connect, logging_in, session
from lead_scoring.settings import SalesforceSettings, load_settings
from tests.salesforce.conftest import Desk

CANARY = "hunter2-canary"
PAGE = f"<!DOCTYPE html><html><body>Sign in to {CANARY}</body></html>"
REFUSED = json.dumps({"error": "invalid_client", "error_description": PAGE})


class Answer(BaseHTTPRequestHandler):
    status, body = 200, PAGE

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[SalesforceSettings]:
    """Settings of an org whose login answers what the test says: (status, body)."""
    handler = type("Handler", (Answer,), dict(zip(("status", "body"), request.param, strict=True)))
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    settings = load_settings(environment={}).salesforce
    yield dataclasses.replace(settings, endpoint=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


PASSWORD = {"username": "me", "password": CANARY, "security_token": CANARY}
SECRET = {"consumer_key": CANARY, "consumer_secret": CANARY, "domain": "acme.my"}


@pytest.mark.parametrize(
    ("answering", "login", "kind", "message"),
    [
        ((200, PAGE), PASSWORD, BadInput, "answered the login with 200 and a page that is no Salesforce; check domain"),
        ((200, PAGE), SECRET, BadInput, "answered the login with 200 and a page that is no Salesforce; check domain"),
        ((404, PAGE), SECRET, BadInput, "answered the login with 404 and a page that is no Salesforce"),
        ((404, PAGE), PASSWORD, BadInput, "answered the login with 404 and a page that is no Salesforce"),
        ((503, PAGE), PASSWORD, Transient, "answered the login with 503; try again"),
        ((503, PAGE), SECRET, Transient, "answered the login with 503; try again"),
        ((429, "slow down"), SECRET, Transient, "answered the login with 429; try again"),
        ((200, "{}"), SECRET, BadInput, "no Salesforce"),
        ((400, REFUSED), SECRET, BadInput, "check consumer_key"),
        ((400, "[]"), SECRET, BadInput, "no Salesforce"),
    ],
    indirect=["answering"],
)
def test_what_answers_the_login_is_called_what_it_is(
    answering: SalesforceSettings, login: dict[str, str], kind: type[LeadScoringError], message: str
) -> None:
    with pytest.raises(kind, match=message) as refused:
        connect(answering, login)
    assert CANARY not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "text", "kind", "message"),
    [
        ("SERVER_UNAVAILABLE", "the server is down", Transient, "try again"),
        ("LOGIN_RATE_EXCEEDED", "", Transient, "try again"),
        ("invalid_grant", "login rate exceeded", Transient, "try again"),
        ("server_error", None, Transient, "try again"),
        ("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.", BadInput, "client credentials"),
        ("UNSUPPORTED_API_VERSION", "", BadInput, "SOAP login ends with API 65"),
        ("invalid_grant", "user hasn't approved this consumer", BadInput, "pre-authorise"),
        ("invalid_grant", "authentication failure", BadInput, "check username"),
        ("LOGIN_MUST_USE_SECURITY_TOKEN", "", BadInput, "add the security_token"),
        ("PASSWORD_LOCKOUT", "", BadInput, "an administrator unlocks it"),
        ("something_new", "", BadInput, "something_new.*log in with consumer_key"),
        (None, None, BadInput, "refused the login"),
    ],
)
def test_a_refusal_passes_or_says_what_to_do(
    code: str, text: str | None, kind: type[LeadScoringError], message: str
) -> None:
    settings = load_settings(environment={}).salesforce
    with pytest.raises(kind, match=message), logging_in(settings):
        raise SalesforceAuthenticationFailed(code, text)


JWT = {"username": "me", "consumer_key": "k"}


@pytest.mark.parametrize(
    ("login", "message"),
    [
        ({"username": "me"}, "the Salesforce login is incomplete|refused the login"),
        ({"username": "me", "password": 12345, "security_token": CANARY}, "incomplete, or a value is no text"),
        ({"user": CANARY}, "key 1 of the Salesforce login is unknown; did you mean username?"),
        ({"username": "me", CANARY: 1}, "key 2 of the Salesforce login is unknown"),
        ([CANARY], "must be a JSON object"),
        (CANARY, "must be a JSON object"),
        (5, "must be a JSON object"),
        ({**JWT, "privatekey_file": f"/{CANARY}"}, "privatekey_file names cannot be read: No"),
        ({**JWT, "privatekey_file": "/"}, "cannot be read: Is a directory"),
        ({**JWT, "privatekey": CANARY}, "privatekey that cannot be used"),
        ({**JWT, "privatekey": 5}, "cannot be used|no text"),
    ],
)
def test_a_login_that_cannot_be_used_is_refused_without_its_values(desk: Desk, login: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        connect(desk.settings, login)
    assert CANARY not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_wrong_password_is_refused_by_the_org(desk: Desk) -> None:
    with pytest.raises(BadInput, match="refused the login: INVALID_LOGIN: .*; check username, password") as refused:
        connect(desk.settings, PASSWORD)
    assert CANARY not in str(refused.value)


def test_nobody_answers(desk: Desk) -> None:
    nobody = dataclasses.replace(desk.settings, endpoint="http://127.0.0.1:9")
    with pytest.raises(Transient, match="did not answer the login"):
        connect(nobody)


def test_only_loopback_is_a_sandbox(desk: Desk) -> None:
    with pytest.raises(BadInput, match="it must be http://127.0.0.1:PORT"):
        session(dataclasses.replace(desk.settings, endpoint="http://sandbox.example:80"))


@pytest.mark.parametrize("text", [CANARY, f'{{"password": "{CANARY}"', f'["{CANARY}"]', f'{{"{CANARY}": 1}}'])
def test_on_the_command_line_a_broken_login_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, desk: Desk
) -> None:
    monkeypatch.setenv("LEAD_SCORING_SALESFORCE_LOGIN", text)
    monkeypatch.setenv("LEAD_SCORING__SALESFORCE__ENDPOINT", desk.server.url)
    monkeypatch.setenv("LEAD_SCORING__WAREHOUSE__FOLDER", str(desk.folder / "warehouse"))
    monkeypatch.setenv("LEAD_SCORING__STORAGE__RUNS", str(desk.folder / "runs"))
    assert main(["sync", "undo", "--run", "a"]) == 2
    captured = capsys.readouterr()
    assert CANARY not in captured.err + captured.out
    assert captured.err.count("\n") == 1
