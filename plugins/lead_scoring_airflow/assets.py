"""The three things that a run makes and that others can wait for. Their events carry rows, version and figures."""

from __future__ import annotations

from airflow.sdk import Asset

LEAD_FEATURES = Asset(name="lead_features", uri="lead-scoring://warehouse/lead_features", group="lead_scoring")
PRODUCTION_MODEL = Asset(name="production_model", uri="lead-scoring://models/production", group="lead_scoring")
LEAD_SCORES = Asset(name="lead_scores", uri="lead-scoring://warehouse/lead_scores", group="lead_scoring")
