"""The HTTP session under simple-salesforce: with a time limit, led to the sandbox org where one is set, and strict
about what answers a login.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from lead_scoring.errors import BadInput, Transient
from lead_scoring.settings import SalesforceSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REQUEST_TIMEOUT_SECONDS = 120.0
LOGIN_PATHS = ("/services/oauth2/token", "/services/Soap/u/")
BUSY = (429, 502, 503, 504)


class _TimedSession(requests.Session):
    """simple-salesforce sets no time limit, so a silent server would hold a task for ever."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = REQUEST_TIMEOUT_SECONDS
        response = super().request(method, url, *args, **kwargs)
        if any(part in urlsplit(str(url)).path for part in LOGIN_PATHS):
            check_login_answer(response)
        return response


def check_login_answer(response: requests.Response) -> None:
    """simple-salesforce takes whatever page answers a login for an answer.

    :raises Transient: the server is too busy. SOAP says 500 for a wrong password too, so that is not among these.
    :raises BadInput: a proxy, a company's site or an instance that is gone answered, not Salesforce.
    """
    where, status = urlsplit(str(response.url)).netloc, response.status_code
    if status in BUSY:
        raise Transient(f"Salesforce at {where} answered the login with {status}; try again")
    try:
        answer = response.json()
        known = isinstance(answer, dict) and ("error" in answer or {"access_token", "instance_url"} <= set(answer))
    except ValueError:
        known = "Envelope>" in response.text
    if not known:
        raise BadInput(
            f"{where} answered the login with {status} and a page that is no Salesforce; check domain or instance_url "
            "of the login: 'login', 'test' or the org's own as in 'acme.my'"
        )


class _SandboxAdapter(HTTPAdapter):
    """Sends what is meant for https://<anything> to one loopback server: simple-salesforce knows https only."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = endpoint.rstrip("/")

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        request.url = f"{self._endpoint}{parts.path}{'?' + parts.query if parts.query else ''}"
        return super().send(request, *args, **kwargs)


def session(settings: SalesforceSettings) -> requests.Session:
    """A session for ``Salesforce(session=...)`` or ``SalesforceHook(session=...)``.

    :raises BadInput: the endpoint is not a loopback address: credentials would cross a network unencrypted.
    """
    made = _TimedSession()
    if settings.endpoint:
        parts = urlsplit(settings.endpoint)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or parts.port is None:
            raise BadInput(
                f"setting salesforce.endpoint is {settings.endpoint!r}; it must be http://127.0.0.1:PORT (the sandbox "
                "org), or empty for the org of the connection"
            )
        made.mount("https://", _SandboxAdapter(settings.endpoint))
        made.trust_env = False  # a proxy from the environment must not see loopback traffic
    return made
