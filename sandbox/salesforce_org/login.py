"""How clients get a session: SOAP login, and OAuth with a password, a signed assertion (JWT) or client credentials."""

from __future__ import annotations

import base64
import secrets
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from sandbox.salesforce_org.org import USER_ID, Org

ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns="urn:partner.soap.sforce.com" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
)


@dataclass(frozen=True)
class Account:
    """The org's one user and one connected app. Laptop values: they open nothing else.

    :param certificate: PEM file of the connected app's certificate or public key; JWT logins need it.
    """

    username: str = "integration@sandbox.example"
    password: str = "sandbox"
    security_token: str = "sandbox"
    consumer_key: str = "lead-scoring"
    consumer_secret: str = "sandbox-secret"
    certificate: Path | None = None


class LoginRefused(Exception):
    """``error`` is the OAuth error code."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error


def new_session(org: Org) -> str:
    token = f"{org.organization_id[:15]}!{secrets.token_urlsafe(48)}"
    org.open_session(token)
    return token


def token_login(org: Org, account: Account, form: dict[str, str], authorization: str, base: str) -> dict[str, Any]:
    """``/services/oauth2/token``.

    :param authorization: the header; client credentials may come there (Basic) or in the form.
    :raises LoginRefused: something does not match.
    """
    grant = form.get("grant_type", "")
    if authorization.startswith("Basic "):
        key, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        form = {**form, "client_id": key, "client_secret": secret}
    if grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
        _check_assertion(account, form.get("assertion", ""))
    elif grant not in {"password", "client_credentials"}:
        raise LoginRefused("unsupported_grant_type", "grant type not supported")
    elif form.get("client_id") != account.consumer_key:
        raise LoginRefused("invalid_client_id", "client identifier invalid")
    elif form.get("client_secret") != account.consumer_secret:
        raise LoginRefused("invalid_client", "invalid client credentials")
    elif grant == "password" and not _password_matches(org, account, form.get("username"), form.get("password")):
        raise LoginRefused("invalid_grant", "authentication failure")
    return {
        "access_token": new_session(org),
        "instance_url": base,
        "id": f"{base}/id/{org.organization_id}/{USER_ID}",
        "token_type": "Bearer",
        "scope": "api",
    }


def soap_login(org: Org, account: Account, body: bytes, version: str, base: str) -> tuple[int, str]:
    """``/services/Soap/u/<version>``: status and envelope of the answer to a login or logout."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return 500, _fault("INVALID_LOGIN", "not an XML document")
    values = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    if "logout" in values:
        org.close_session(values.get("sessionId", ""))
        return 200, ENVELOPE.format(body="<logoutResponse/>")
    if not _password_matches(
        org, account, values.get("username"), values.get("password"), values.get("organizationId")
    ):
        return 500, _fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    user = (
        f"<userInfo><organizationId>{org.organization_id}</organizationId><userId>{USER_ID}</userId>"
        f"<userName>{escape(account.username)}</userName><organizationName>Sandbox</organizationName></userInfo>"
    )
    result = (
        f"<metadataServerUrl>{base}/services/Soap/m/{version}/{org.organization_id}</metadataServerUrl>"
        f"<passwordExpired>false</passwordExpired><sandbox>true</sandbox>"
        f"<serverUrl>{base}/services/Soap/u/{version}/{org.organization_id}</serverUrl>"
        f"<sessionId>{new_session(org)}</sessionId><userId>{USER_ID}</userId>{user}"
    )
    return 200, ENVELOPE.format(body=f"<loginResponse><result>{result}</result></loginResponse>")


def _password_matches(
    org: Org, account: Account, username: str | None, password: str | None, organization: str | None = None
) -> bool:
    """With the security token behind the password, or from a known network (organization id) without it."""
    allowed = {account.password + account.security_token}
    if organization == org.organization_id:
        allowed.add(account.password)
    return username == account.username and password in allowed


def _check_assertion(account: Account, assertion: str) -> None:
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if account.certificate is None:
        raise LoginRefused(
            "invalid_app_access", "the connected app has no certificate; start the org with --certificate"
        )
    pem = account.certificate.read_bytes()
    if b"BEGIN CERTIFICATE" in pem:
        key = x509.load_pem_x509_certificate(pem).public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        claims = jwt.decode(
            assertion, pem, algorithms=["RS256"], options={"verify_aud": False, "require": ["iss", "sub", "aud", "exp"]}
        )
    except jwt.PyJWTError as error:
        raise LoginRefused("invalid_grant", f"invalid assertion: {error}") from None
    if claims["iss"] != account.consumer_key:
        raise LoginRefused("invalid_client_id", "client identifier invalid")
    if claims["sub"] != account.username:
        raise LoginRefused("invalid_grant", "user hasn't approved this consumer")


def _fault(code: str, message: str) -> str:
    detail = f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{message}</sf:exceptionMessage>"
    return ENVELOPE.format(
        body=f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {message}</faultstring>"
        f"<detail><sf:LoginFault>{detail}</sf:LoginFault></detail></soapenv:Fault>"
    )
