"""The document's import path: ``from inference_pipeline import LeadScorer``."""

from __future__ import annotations

from lead_scoring.scoring.scorer import LeadScorer

__all__ = ["LeadScorer"]
