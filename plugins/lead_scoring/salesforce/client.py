"""Requests to the org, with the faults that a daily run meets: expired sessions, 503, lost replies, used-up quota."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests

from lead_scoring.errors import BadInput, NotFound, Transient
from lead_scoring.salesforce.login import refused_login
from lead_scoring.settings import SalesforceSettings

if TYPE_CHECKING:
    from simple_salesforce import Salesforce

LONGEST_PAUSE_SECONDS = 60.0
BUSY = (429, 500, 502, 503, 504)
RECORDS_PER_READ = 2000  # composite/sobjects takes this many ids a call


class LostReply(Transient):
    """A write was sent and no usable reply came back: it may have been done. Ask before doing it again."""


def lead_list_url(sf: Salesforce, settings: SalesforceSettings) -> str:
    """Where a person sees the leads of the org."""
    return f"{settings.endpoint}/" if settings.endpoint else f"https://{sf.sf_instance}/lightning/o/Lead/list"


class OrgClient:
    """One org, through the session of a logged-in ``simple_salesforce.Salesforce``."""

    def __init__(self, sf: Salesforce, settings: SalesforceSettings) -> None:
        self.sf = sf
        self.settings = settings

    @cached_property
    def org_id(self) -> str:
        """18-character id of the org: whose state the ledger keeps. A refreshed sandbox has a new one."""
        records = self.get("query", params={"q": "SELECT Id FROM Organization"})["records"]
        return str(records[0]["Id"])

    def get(self, path: str, **arguments: Any) -> Any:
        """JSON of a GET. :raises NotFound: the org has no such thing. :raises Transient: it stays out of reach."""
        return self.request("GET", path, **arguments).json()

    def read_leads(self, ids: Sequence[str], fields: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Id and current field values of leads, in order; None where the org has no such lead."""
        for start in range(0, len(ids), RECORDS_PER_READ):
            chunk = list(ids[start : start + RECORDS_PER_READ])
            body = {"ids": chunk, "fields": ["Id", *fields]}
            records = self.request("POST", "composite/sobjects/Lead", json=body).json()
            yield from zip(chunk, records, strict=True)

    def requests_left(self) -> int:
        """How many API requests the org still allows today."""
        return int(self.get("limits")["DailyApiRequests"]["Remaining"])

    def pause(self, attempt: int) -> None:
        """Wait: ``wait_seconds``, doubled with each attempt, at most a minute."""
        time.sleep(min(self.settings.wait_seconds * 2**attempt, LONGEST_PAUSE_SECONDS))

    def request(self, method: str, path: str, *, repeat: bool = True, **arguments: Any) -> requests.Response:
        """One request below ``/services/data/v<version>/``, tried again where that can help.

        :param repeat: whether doing it twice does no harm. If not, a lost reply is an error at once.
        :raises LostReply: the reply to a request that must not be repeated was lost.
        :raises Transient: the org stayed out of reach, or its daily quota is used up.
        :raises NotFound: 404.
        :raises BadInput: the org refused the request.
        """
        extra = arguments.pop("headers", {})
        problem = ""
        for attempt in range(self.settings.max_attempts):
            if attempt:
                self.pause(attempt - 1)
            try:
                response = self.sf.session.request(
                    method, self.sf.base_url + path, headers={**self.sf.headers, **extra}, **arguments
                )
            except requests.RequestException as error:
                problem = f"{type(error).__name__}: {error}"
                if not repeat:
                    raise LostReply(f"the reply to {method} {path} was lost: {problem}") from error
                continue
            if response.status_code < 300:
                return response
            code, message = _error(response)
            problem = f"{response.status_code} {code}: {message}"
            if response.status_code == 401:
                self._login_again(problem)
            elif code == "REQUEST_LIMIT_EXCEEDED":
                raise Transient(f"the org's daily API quota is used up ({message}); it frees up over 24 hours")
            elif response.status_code in BUSY:
                if not repeat:
                    raise LostReply(f"{method} {path} may or may not have been done: {problem}")
            elif response.status_code == 404:
                raise NotFound(f"the org has no {path}: {problem}")
            else:
                raise BadInput(f"the org refused {method} {path}: {problem}")
        raise Transient(f"{method} {path} failed {self.settings.max_attempts} times; the last time: {problem}")

    def _login_again(self, problem: str) -> None:
        """A public call of simple-salesforce logs in again by itself when it meets an expired session."""
        from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError

        if self.sf._salesforce_login_partial is None:
            raise BadInput(f"the session has expired and the connection has no login to renew it ({problem})")
        try:
            self.sf.limits()
        except SalesforceAuthenticationFailed as error:
            raise refused_login(error, self.settings.endpoint or "its login page") from None
        except (SalesforceError, requests.RequestException):
            return  # out of reach for the moment: the next attempt finds out


def _error(response: requests.Response) -> tuple[str, str]:
    """errorCode and message of a refusal, whatever its form."""
    try:
        body = response.json()
        first = body[0] if isinstance(body, list) else body
        return str(first.get("errorCode", first.get("error", ""))), " ".join(str(first.get("message", "")).split())[
            :300
        ]
    except (ValueError, IndexError, AttributeError):
        return "", " ".join(response.text.split())[:200]
