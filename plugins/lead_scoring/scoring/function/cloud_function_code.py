"""Scores leads over HTTP: deploy this folder as it is, entry point ``score_lead``.

    gcloud functions deploy lead-scorer --gen2 --runtime python311 --source models/production \
        --entry-point score_lead --trigger-http --set-build-env-vars GOOGLE_FUNCTION_SOURCE=cloud_function_code.py
    functions-framework --source models/production/cloud_function_code.py --target score_lead --host 127.0.0.1

champion.json, placed by the promotion, pins the version and its bytes. LEAD_SCORING_MODEL_VERSION names another version
of the folder, LEAD_SCORING_MANIFEST_DIGEST the SHA-256 that its manifest has in the registry. The package is loaded and
checked before the first request is taken: a folder that does not verify does not start.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

import flask
import functions_framework

HERE = Path(__file__).resolve().parent
if (HERE / "lead_scoring").is_dir() and str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # the modules of the library that this folder carries

from lead_scoring.scoring.http import BODY_SECONDS, MAX_BYTES, describe, handle  # noqa: E402
from lead_scoring.scoring.scorer import LeadScorer  # noqa: E402

SCORER = LeadScorer(
    os.environ.get("LEAD_SCORING_MODEL_VERSION") or None,
    model_dir=os.environ.get("LEAD_SCORING_MODEL_DIR") or str(HERE),
    manifest_digest=os.environ.get("LEAD_SCORING_MANIFEST_DIGEST") or None,
)
ENCODER = json.JSONEncoder(allow_nan=False)
DESCRIPTION = describe(json.loads((HERE / "openapi.json").read_text()), SCORER)


@functions_framework.http
def score_lead(request: flask.Request) -> flask.Response:
    """The document's request and response; GET /openapi.json describes the rest."""
    body, late = (b"", False) if request.method in {"GET", "HEAD", "OPTIONS"} else _body(request)
    query = request.args if request.query_string else {}
    status, content, headers = handle(
        SCORER, request.method, request.path, query, body, DESCRIPTION,
        encoding=request.headers.get("Content-Encoding", ""), late=late,
    )  # fmt: skip
    return flask.Response(ENCODER.encode(content), status, headers, mimetype="application/json")


def _body(request: flask.Request) -> tuple[bytes | None, bool]:
    """The body, None if it broke off, and whether it was given up because it came too slowly.

    A server has a few threads, and one that waits for a body waits for ever. After the deadline the receiving side of
    the connection is shut, which ends the read; the answer still goes out on the other side.
    """
    connection: socket.socket | None = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    late = threading.Event()

    def give_up() -> None:
        late.set()
        if connection is not None:
            with contextlib.suppress(OSError):  # the client has closed it
                connection.shutdown(socket.SHUT_RD)

    timer = threading.Timer(float(os.environ.get("LEAD_SCORING_BODY_SECONDS") or BODY_SECONDS), give_up)
    timer.daemon = True
    if connection is not None:
        timer.start()
    try:
        body = request.stream.read(MAX_BYTES + 1)
    except Exception:  # noqa: BLE001 - each server has its own for a body that broke off or is wrongly chunked
        body = None
    finally:
        timer.cancel()
    whole = body is not None and len(body) >= min(request.content_length or 0, MAX_BYTES + 1)
    return body, late.is_set() and not whole
