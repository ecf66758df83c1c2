"""The HTTP face of a scorer, without a web framework: a request's parts in, a status and a JSON object out.

The document's request is an object of features, its response the result of ``score_lead`` (section "Cloud Function
Code"). Beside it: ``{"leads": [...]}`` for many, ``/health``, and messages that a caller can act on. What goes wrong
inside is logged and never told. (Google's front end answers ``/healthz`` by itself; both paths are served.)
"""

from __future__ import annotations

import codecs
import json
import logging
import zlib
from collections.abc import Mapping
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.scoring.lead_checks import MISSING
from lead_scoring.scoring.scorer import LeadScorer

MAX_BYTES = 1_000_000
MAX_LEADS = 1_000
MAX_REASONS = 20
BODY_SECONDS = 10.0  # for a body to arrive: a client that leaves it unfinished would hold one of a few threads for ever
HEALTH = ("/health", "/healthz")
MAX_DIGITS = 400  # no float64 has more before the point; Python's own limit is 4,300

Answer = tuple[int, dict[str, Any], dict[str, str]]  # status, JSON object, headers
logger = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is not carried out. ``extra`` is added to the answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.headers, self.extra = status, dict(headers or {}), extra


def describe(template: Mapping[str, Any], scorer: LeadScorer) -> dict[str, Any]:
    """The OpenAPI description with the features of one version: names, ranges, and which may be null."""
    described: dict[str, Any] = json.loads(json.dumps(template))
    lead = described["components"]["schemas"]["Lead"]
    for feature, (low, high) in zip(scorer.checks.features, scorer.checks.limits, strict=True):
        kind = ["number", "boolean", "null"] if feature.nullable else ["number", "boolean"]
        number: dict[str, Any] = {"type": kind, "minimum": low, "maximum": high}
        texts = {"type": "string", "enum": list(feature.categories)}
        also = [{"const": value} for value in feature.missing_values] + ([texts] if feature.categories else [])
        lead["properties"][feature.name] = {"anyOf": [*also, number]} if also else number
    lead |= {"required": list(scorer.feature_names), "additionalProperties": False}
    lead.pop("example", None)
    return described


def handle(
    scorer: LeadScorer,
    method: str,
    path: str,
    query: Mapping[str, str],
    body: bytes | None,
    description: Mapping[str, Any] | None = None,
    *,
    encoding: str = "",
    late: bool = False,
) -> Answer:
    """Answer one request.

    :param path: ``/``, ``/health``, ``/healthz`` or ``/openapi.json``.
    :param query: ``missing`` and ``reasons`` as for ``score_lead``.
    :param body: JSON in UTF-8; None if it broke off or was wrongly chunked.
    :param encoding: the header ``Content-Encoding``: empty, ``identity``, ``gzip`` or ``deflate``.
    :param late: the body had not arrived after :data:`BODY_SECONDS`.
    :param description: what ``/openapi.json`` answers; see :func:`describe`.
    """
    try:
        told = path in HEALTH or (path == "/openapi.json" and description is not None)
        if not told and path != "/":
            raise Refused(404, f"there is nothing at {path[:80]!r}; POST / scores, GET /health tells the version")
        allowed = ("GET", "HEAD", "OPTIONS") if told else ("POST", "OPTIONS")
        if method not in allowed:
            message = f"method {method} is not allowed here; use {allowed[0]}"
            raise Refused(405, message, {"Allow": ", ".join(allowed)})
        if method == "OPTIONS":
            return 200, {"allowed": list(allowed)}, {"Allow": ", ".join(allowed)}
        if told:
            return 200, health(scorer) if path in HEALTH else dict(description or {}), {}
        if late:
            raise Refused(408, f"the body did not arrive within {BODY_SECONDS:g} seconds; send it again as a whole")
        return 200, _score(scorer, _options(query), _parse(body, encoding)), {}
    except Refused as refused:
        return refused.status, {"error": str(refused), **refused.extra}, refused.headers
    except Exception:
        logger.exception("request failed")
        return 500, {"error": "internal error; it was logged"}, {}


def health(scorer: LeadScorer) -> dict[str, Any]:
    return {
        "status": "ok",
        "model_version": scorer.model_version,
        "manifest_digest": scorer.package.manifest_digest,
        "registered": scorer.package.registered,
        "features": list(scorer.feature_names),
    }


def _options(query: Mapping[str, str]) -> dict[str, Any]:
    if unknown := sorted(set(query) - {"missing", "reasons"}):
        raise Refused(400, f"query parameter {unknown[0][:40]!r} is unknown; there are missing and reasons")
    missing, reasons = query.get("missing", "refuse"), query.get("reasons", "0")
    if missing not in MISSING:
        raise Refused(400, f"missing={missing[:40]!r} is unknown; choose one of {', '.join(MISSING)}")
    if not (reasons.isascii() and reasons.isdigit() and len(reasons) < 4 and int(reasons) <= MAX_REASONS):
        raise Refused(400, f"reasons={reasons[:40]!r} must be a whole number from 0 to {MAX_REASONS}")
    return {"missing": missing, "reasons": int(reasons)}


def _parse(body: bytes | None, encoding: str) -> dict[str, Any]:
    if body is None:
        raise Refused(400, "the body broke off or is wrongly chunked; send it again as a whole")
    body = _unpacked(body, encoding.strip().lower())
    if len(body) > MAX_BYTES:
        raise Refused(413, f"the body has more than {MAX_BYTES:,} bytes; send fewer leads")
    try:
        content = read_json(body)
    except BadInput as error:
        raise Refused(400, f"the body {error}") from error
    if not isinstance(content, dict):
        raise Refused(400, 'the body must be an object of features, or {"leads": [...]}')
    return content


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its ``Content-Encoding``, one byte more than is taken at most: it may unpack to anything."""
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        extra = {"Accept-Encoding": "gzip, deflate"}
        raise Refused(415, f"Content-Encoding {encoding[:40]!r} is not read here; send gzip, deflate or none", extra)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacker.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise Refused(
            400, f"the body is not {encoding}, which its Content-Encoding says ({error}); send it again"
        ) from None
    if not unpacker.eof and len(unpacked) <= MAX_BYTES:
        raise Refused(400, f"the body broke off: its {encoding} has no end; send it again as a whole")
    return unpacked


def read_json(data: bytes) -> Any:
    """The value in UTF-8 JSON, read strictly: no NaN, no key twice. A byte order mark of UTF-8 is passed over.

    :raises BadInput: what is wrong with it.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput("is not JSON in UTF-8: it begins with the byte order mark of UTF-16 or UTF-32; send UTF-8")
    try:
        return _decoder.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"is not JSON: byte {error.start} is not UTF-8; send UTF-8") from error
    except RecursionError as error:
        raise BadInput("is nested too deeply; send one object of features") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON: syntax error at line {error.lineno}, column {error.colno}; correct it") from error


def _no_constant(name: str) -> float:
    raise BadInput(f"is not JSON: {name} is no number there; leave the value null if it is unknown")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadInput(f"has a number of {len(digits)} digits; send at most {MAX_DIGITS}")
    return int(digits)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"has the key {twin[:40]!r} given twice in one object; give it once")
    return found


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=_no_twins)


def _score(scorer: LeadScorer, options: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    if "leads" not in content:
        try:
            return scorer.score_lead(content, **options)
        except BadInput as error:
            raise Refused(422, str(error)) from error
    leads = content["leads"]
    if len(content) != 1 or not isinstance(leads, list) or not leads:
        raise Refused(422, 'a batch is {"leads": [...]} with at least one lead and no other key')
    if len(leads) > MAX_LEADS:
        raise Refused(413, f"the batch has {len(leads)} leads, at most {MAX_LEADS} are taken; send several batches")
    results, errors = [], []
    for index, lead in enumerate(leads):
        try:
            results.append(scorer.score_lead(lead, **options))
        except BadInput as error:
            errors.append({"index": index, "error": str(error)})
    if errors:
        raise Refused(422, f"{len(errors)} of {len(leads)} leads cannot be scored; none was", errors=errors)
    return {"results": results, "model_version": scorer.model_version}
