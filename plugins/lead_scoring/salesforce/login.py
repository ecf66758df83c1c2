"""Logging in: what a login may hold, and its errors as the library's. No value of a login ever stands in an error."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from lead_scoring.errors import BadInput, LeadScoringError, Transient
from lead_scoring.salesforce.session import session
from lead_scoring.settings import SalesforceSettings
from lead_scoring.text import shown

if TYPE_CHECKING:
    from simple_salesforce import Salesforce
    from simple_salesforce.exceptions import SalesforceAuthenticationFailed

# What SalesforceHook reads from a connection, as arguments of simple_salesforce.Salesforce.
LOGIN_KEYS = (
    "username", "password", "security_token", "organizationId", "consumer_key", "consumer_secret", "privatekey_file",
    "privatekey", "domain", "instance_url", "session_id",
)  # fmt: skip
SANDBOX_LOGIN = {
    "username": "integration@sandbox.example",
    "password": "sandbox",
    "security_token": "sandbox",
}
WAYS = (
    "consumer_key, consumer_secret and the org's own domain (client credentials); or username, consumer_key and "
    "privatekey_file (JWT); or, where the org still allows it, username, password and security_token"
)
# Words in a code or message of a refusal: what passes by itself, and of what lasts, what to do. The codes are those of
# ExceptionCode in Salesforce's SOAP API Developer Guide, and of its OAuth token end point.
_PASSING = ("unavailable", "rate_exceeded", "rate exceeded", "rate_limit", "server_error", "timeout")
_REMEDIES = {
    "soap api login() is disabled": f"SOAP login is off in this org, as in every new one; log in with {WAYS}",
    "unsupported_api_version": f"SOAP login ends with API 65; log in with {WAYS}, or set salesforce.api_version lower",
    "user hasn't approved this consumer": "let an administrator pre-authorise the user for the connected app",
    "invalid_client": "check consumer_key and consumer_secret against the connected app",
    "invalid_app_access": "let an administrator give the user access to the connected app",
    "password_lockout": "the user is locked: an administrator unlocks it",
    "login_must_use_security_token": "add the security_token, or allow this network in the org",
    "login_during_restricted": "the user may not log in at this time or from this network: check its profile",
    "unsupported_grant_type": "switch this way of logging in on in the connected app",
    "invalid_grant": "check username, password and security_token, or for JWT the certificate of the connected app",
    "invalid_login": "check username, password and security_token; a password that was changed has a new token",
}


@contextmanager
def logging_in(settings: SalesforceSettings) -> Generator[None, None, None]:
    """Around a login by simple-salesforce or ``SalesforceHook.get_conn()``: its errors become the library's.

    :raises BadInput: the org refuses the login, what answers is no Salesforce, or the login cannot be used.
    :raises Transient: the org does not answer, or says that it will later.
    """
    from simple_salesforce.exceptions import SalesforceAuthenticationFailed

    where = settings.endpoint or "its login page"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # simple-salesforce warns with the consumer key in the text
            yield
    except LeadScoringError:
        raise
    except SalesforceAuthenticationFailed as error:
        raise refused_login(error, where) from None
    except requests.RequestException as error:
        raise Transient(f"Salesforce at {where} did not answer the login: {type(error).__name__}") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(f"the file that the login's privatekey_file names cannot be read: {reason}") from None
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        # what simple-salesforce and PyJWT raise for what is missing, of another type, or no key
        if isinstance(error, ValueError) or "key" in type(error).__name__.lower():
            raise BadInput(
                "the Salesforce login has a privatekey that cannot be used; it must be an RSA private key in PEM form"
            ) from None
        raise BadInput(f"the Salesforce login is incomplete, or a value is no text; it needs {WAYS}") from None
    except Exception as error:  # noqa: BLE001  # PyJWT's own errors share no base with any above
        if type(error).__module__.partition(".")[0] != "jwt":
            raise
        raise BadInput(
            "the Salesforce login has a privatekey that cannot be used; it must be an RSA private key in PEM form"
        ) from None


def refused_login(error: SalesforceAuthenticationFailed, where: str) -> LeadScoringError:
    """What a refusal of the login means: to be tried again, or what to do."""
    code, text = str(error.code or ""), str(getattr(error, "auth_message", "") or error.content or "")
    said = f"{code}: {text}".lower()
    if any(word in said for word in _PASSING):
        return Transient(f"Salesforce at {where} cannot log anybody in for now ({shown(code, maximum=60)}); try again")
    remedy = next((remedy for word, remedy in _REMEDIES.items() if word in said), f"log in with {WAYS}")
    if "<" in text:  # a page, or markup that would hide what it says
        text = "no message"
    return BadInput(
        f"Salesforce at {where} refused the login: {shown(code, maximum=60)}: {shown(text, maximum=150)}; {remedy}"
    )


def connect(settings: SalesforceSettings, login: Mapping[str, Any] | None = None) -> Salesforce:
    """Log in without Airflow.

    :param login: arguments of ``simple_salesforce.Salesforce``; the sandbox org needs none.
    :raises BadInput: there is no login, it is no object, has an unknown key, or the org refuses it.
    :raises Transient: the org does not answer.
    """
    from simple_salesforce import Salesforce

    if login is None:
        login = SANDBOX_LOGIN if settings.endpoint else {}
    if not isinstance(login, Mapping):
        raise BadInput(f"the Salesforce login must be a JSON object with keys of {list(LOGIN_KEYS)}")
    for place, key in enumerate(login, 1):
        if key not in LOGIN_KEYS:  # it may be a secret at the wrong place, so it is not shown
            near = difflib.get_close_matches(str(key), LOGIN_KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BadInput(f"key {place} of the Salesforce login is unknown{hint} The keys are {list(LOGIN_KEYS)}")
    with logging_in(settings):
        return Salesforce(version=settings.api_version, session=session(settings), **login)
