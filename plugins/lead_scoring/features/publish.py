"""Publish the feature table of a day: one partition each of ``lead_features`` and ``lead_features_rejected``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lead_scoring.warehouse import Warehouse


def publish_features(
    warehouse: Warehouse, as_of: dt.date, shards: Sequence[Path], rejected: Path
) -> dict[str, dict[str, Any]]:
    """Replace the day's partitions. The rejected rows go first: accepted rows never stand without them.

    :param shards: train and score shards; together one row per (lead_id, scorable).
    :return: table name to rows and digest.
    """
    partition = as_of.isoformat()
    aside = warehouse.replace_partition("lead_features_rejected", partition, [rejected])
    accepted = warehouse.replace_partition("lead_features", partition, list(shards))
    return {"lead_features": asdict(accepted), "lead_features_rejected": asdict(aside)}
