from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.scoring import LeadScorer
from lead_scoring.scoring.http import MAX_BYTES, MAX_LEADS, handle

Lead = dict[str, float | None]


def post(scorer: LeadScorer, content: Any, **query: str) -> tuple[int, dict[str, Any]]:
    body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    status, answer, _ = handle(scorer, "POST", "/", query, body)
    return status, answer


def test_the_documents_request_gets_the_documents_response(scorer: LeadScorer, lead: Lead) -> None:
    assert post(scorer, lead) == (200, scorer.score_lead(lead))


def test_many_leads_are_answered_in_their_order(scorer: LeadScorer, lead: Lead) -> None:
    leads = [{"lead_id": f"00Q{number}", **lead, "pit_moves_3yr": float(number)} for number in range(20)]
    status, answer = post(scorer, {"leads": leads})
    assert status == 200
    assert answer["results"] == [scorer.score_lead(item) for item in leads]


def test_one_wrong_lead_refuses_the_batch_and_is_named(scorer: LeadScorer, lead: Lead) -> None:
    status, answer = post(scorer, {"leads": [lead, {"lead_id": "00Q1"}, lead]})
    assert status == 422
    assert "1 of 3 leads cannot be scored" in answer["error"]
    assert answer["errors"][0]["index"] == 1
    assert "00Q1" in answer["errors"][0]["error"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "not JSON"),
        (b'{"a": \xff', 400, "byte 6 is not UTF-8"),
        (b'{"a": 1,\n  2}', 400, "line 2, column 3"),
        (None, 400, "broke off or is wrongly chunked"),
        (b"[]", 400, "must be an object"),
        (b'{"a": NaN}', 400, "NaN is no number there"),
        (b'{"a": 1, "a": 2}', 400, "'a' given twice"),
        (b'{"a":' * 100_000, 400, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "a number of 5000 digits"),
        (b" " * (MAX_BYTES + 1), 413, "more than 1,000,000 bytes"),
        (b"{}", 422, "is missing"),
        (b'{"leads": []}', 422, "at least one lead"),
        (b'{"leads": [1], "more": 1}', 422, "no other key"),
        (b'{"leads": ["a"]}', 422, "1 of 1 leads"),
        (json.dumps({"leads": [{}] * (MAX_LEADS + 1)}).encode(), 413, "at most 1000"),
        (b'{"days_in_gap": 1e999}', 422, "is missing"),
    ],
)
def test_a_request_that_is_not_carried_out_says_why(
    scorer: LeadScorer, body: bytes | None, status: int, message: str
) -> None:
    found, answer = post(scorer, body)
    assert (found, message in answer["error"]) == (status, True), answer


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/", {}, 405),
        ("POST", "/healthz", {}, 405),
        ("POST", "/health", {}, 405),
        ("GET", "/admin", {}, 404),
        ("POST", "/", {"missing": "median"}, 400),
        ("POST", "/", {"reasons": "-1"}, 400),
        ("POST", "/", {"reasons": "1e3"}, 400),
        ("POST", "/", {"verbose": "1"}, 400),
    ],
)
def test_other_methods_paths_and_parameters_are_refused(
    scorer: LeadScorer, lead: Lead, method: str, path: str, query: dict[str, str], status: int
) -> None:
    found, answer, headers = handle(scorer, method, path, query, json.dumps(lead).encode())
    assert found == status
    assert answer["error"]
    assert (found == 405) == ("Allow" in headers)


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_told_at_a_path_that_googles_front_end_leaves_alone(scorer: LeadScorer, path: str) -> None:
    assert handle(scorer, "GET", path, {}, b"")[1]["model_version"] == scorer.model_version


@pytest.mark.parametrize(("path", "allowed"), [("/", "POST, OPTIONS"), ("/health", "GET, HEAD, OPTIONS")])
def test_options_tells_the_methods(scorer: LeadScorer, path: str, allowed: str) -> None:
    status, answer, headers = handle(scorer, "OPTIONS", path, {}, b"")
    assert (status, headers["Allow"], answer["allowed"]) == (200, allowed, allowed.split(", "))
    assert handle(scorer, "OPTIONS", "/admin", {}, b"")[0] == 404


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "X-GZIP", "deflate"])
def test_a_packed_body_is_the_same_body(scorer: LeadScorer, lead: Lead, encoding: str) -> None:
    body = json.dumps(lead).encode()
    packed = {"g": gzip.compress(body), "x": gzip.compress(body), "d": zlib.compress(body)}.get(
        encoding[:1].lower(), body
    )
    status, answer, _ = handle(scorer, "POST", "/", {}, packed, encoding=encoding)
    assert (status, answer) == (200, scorer.score_lead(lead))


@pytest.mark.parametrize(
    ("body", "encoding", "status", "words"),
    [
        (b"{}", "br", 415, "Content-Encoding 'br' is not read here; send gzip, deflate or none"),
        (b"{}", "gzip, gzip", 415, "'gzip, gzip' is not read"),
        (b"{}", "gzip", 400, "the body is not gzip"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "gzip", 400, "its gzip has no end"),
        (gzip.compress(b" " * 300_000_000, 1, mtime=0), "gzip", 413, "more than 1,000,000 bytes"),
        ("{}".encode("utf-16"), "", 400, "byte order mark of UTF-16"),
        ("{}".encode("utf-32"), "", 400, "byte order mark of UTF-16 or UTF-32"),
    ],
)
def test_an_encoding_that_is_not_read_is_named(
    scorer: LeadScorer, body: bytes, encoding: str, status: int, words: str
) -> None:
    found, answer, headers = handle(scorer, "POST", "/", {}, body, encoding=encoding)
    assert (found, words in answer["error"]) == (status, True), answer
    assert ("Accept-Encoding" in headers) == (status == 415)


def test_a_byte_order_mark_of_utf_8_is_passed_over(scorer: LeadScorer, lead: Lead) -> None:
    assert post(scorer, b"\xef\xbb\xbf" + json.dumps(lead).encode()) == (200, scorer.score_lead(lead))


def test_a_body_that_did_not_arrive_in_time_is_answered_so(scorer: LeadScorer) -> None:
    status, answer, _ = handle(scorer, "POST", "/", {}, None, late=True)
    assert (status, answer["error"]) == (408, "the body did not arrive within 10 seconds; send it again as a whole")


def test_what_goes_wrong_inside_is_logged_and_not_told(
    scorer: LeadScorer, lead: Lead, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(type(scorer), "score_lead", fail)
    assert post(scorer, lead) == (500, {"error": "internal error; it was logged"})
    assert "/secret/path" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_an_internal_error(scorer: LeadScorer, body: bytes) -> None:
    status, answer, _ = handle(scorer, "POST", "/", {}, body)
    assert status in {400, 422}
    json.dumps(answer, allow_nan=False)
