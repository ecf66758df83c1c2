"""The HTTP session under simple-salesforce: always with a time limit, and led to the sandbox org where one is set."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from lead_scoring.errors import BadInput
from lead_scoring.settings import SalesforceSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REQUEST_TIMEOUT_SECONDS = 120.0


class _TimedSession(requests.Session):
    """simple-salesforce sets no time limit, so a silent server would hold a task for ever."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = REQUEST_TIMEOUT_SECONDS
        return super().request(method, url, *args, **kwargs)


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
