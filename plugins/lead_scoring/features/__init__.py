"""Features as of a date: load the sources, compute, check, set aside, publish, and look for knowledge of the future.

Names are resolved when they are used, so that importing the package does not import pandas or DuckDB.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lead_scoring.features.brought import bring
    from lead_scoring.features.leakage import tripwire
    from lead_scoring.features.materialization import materialize
    from lead_scoring.features.origin import synthetic_day
    from lead_scoring.features.publish import publish_features
    from lead_scoring.features.replay_audit import audit
    from lead_scoring.features.sources import SOURCE_TABLES, load_source

_HOMES = {
    "SOURCE_TABLES": "sources",
    "audit": "replay_audit",
    "bring": "brought",
    "load_source": "sources",
    "materialize": "materialization",
    "publish_features": "publish",
    "synthetic_day": "origin",
    "tripwire": "leakage",
}

__all__ = [
    "SOURCE_TABLES",
    "audit",
    "bring",
    "load_source",
    "materialize",
    "publish_features",
    "synthetic_day",
    "tripwire",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
