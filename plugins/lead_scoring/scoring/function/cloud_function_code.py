"""Scores leads over HTTP: deploy this folder as it is, entry point ``score_lead``.

    gcloud functions deploy lead-scorer --gen2 --runtime python311 --source models/production \
        --entry-point score_lead --trigger-http --set-build-env-vars GOOGLE_FUNCTION_SOURCE=cloud_function_code.py
    functions-framework --source models/production/cloud_function_code.py --target score_lead --host 127.0.0.1

champion.json, placed by the promotion, pins the version and its bytes. LEAD_SCORING_MODEL_VERSION names another version
of the folder, LEAD_SCORING_MANIFEST_DIGEST the SHA-256 that its manifest has in the registry. The package is loaded and
checked before the first request is taken: a folder that does not verify does not start.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import flask
import functions_framework

HERE = Path(__file__).resolve().parent
if (HERE / "lead_scoring").is_dir() and str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # the modules of the library that this folder carries

from lead_scoring.scoring.http import MAX_BYTES, describe, handle  # noqa: E402
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
    body: bytes | None = b""
    if request.method not in {"GET", "HEAD"}:
        try:
            body = request.stream.read(MAX_BYTES + 1)
        except Exception:  # noqa: BLE001 - each server has its own for a body that broke off or is wrongly chunked
            body = None
    query = request.args if request.query_string else {}
    status, content, headers = handle(SCORER, request.method, request.path, query, body, DESCRIPTION)
    return flask.Response(ENCODER.encode(content), status, headers, mimetype="application/json")
