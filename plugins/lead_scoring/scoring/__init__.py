"""Scores: one lead, a table, a shard of millions, over HTTP; and the proof of each afterwards.

Names are imported when they are used, so that scoring one lead loads neither pandas nor scikit-learn nor XGBoost.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lead_scoring.scoring.batch import score_shard
    from lead_scoring.scoring.call_order import ranks
    from lead_scoring.scoring.deployment import function_files
    from lead_scoring.scoring.publish import (
        STAGING_TABLES,
        audit_scores,
        drop_staging,
        newest_scores,
        publish_partition,
    )
    from lead_scoring.scoring.scorer import LeadScorer
    from lead_scoring.scoring.why import why, why_all

_HOMES = {
    "STAGING_TABLES": "publish",
    "LeadScorer": "scorer",
    "audit_scores": "publish",
    "drop_staging": "publish",
    "function_files": "deployment",
    "newest_scores": "publish",
    "publish_partition": "publish",
    "ranks": "call_order",
    "score_shard": "batch",
    "why": "why",
    "why_all": "why",
}

__all__ = [
    "STAGING_TABLES",
    "LeadScorer",
    "audit_scores",
    "drop_staging",
    "function_files",
    "newest_scores",
    "publish_partition",
    "ranks",
    "score_shard",
    "why",
    "why_all",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # also over the module of the same name: `scoring.why` is the function, always
    return value
