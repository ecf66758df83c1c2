"""Partitions that are past their table's ``keep_days``.

Days are counted back from the table's newest partition and not from today, so a pipeline that stands still loses
nothing, and neither does a table of past days.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from lead_scoring.warehouse import Warehouse
from lead_scoring.warehouse.definitions import TableDefinition

_DAY = re.compile(r"(?:undo-)?(\d{4})-?(\d{2})-?(\d{2})(?:-[0-9a-f]+)?")  # 2024-12-21, or a run key


def tidy_partitions(
    warehouse: Warehouse, tables: Collection[TableDefinition], *, needed: Collection[str] = (), dry_run: bool = False
) -> list[dict[str, Any]]:
    """Drop the partitions that are past their end.

    :param needed: partitions (run keys) that stay whatever their age.
    :param dry_run: only say which.
    :return: ``table``, ``partition``, ``rows`` and ``digest`` of each.
    """
    standing, dropped = set(warehouse.tables()), []
    for table in tables:
        if table.name not in standing:
            continue
        days = {name: day for name in warehouse.partitions(table.name, key=table.partition) if (day := _day(name))}
        end = max(days.values()) - dt.timedelta(days=table.keep_days) if days else dt.date.min
        # sorted: a run goes before its undoing, without which it would count as not undone
        for name in sorted(name for name, day in days.items() if day < end and name not in needed):
            drop = warehouse.partition if dry_run else warehouse.drop_partition
            if (held := drop(table.name, name)) is not None:
                dropped.append(asdict(held))
    return dropped


def _day(partition: str) -> dt.date | None:
    """The day in a partition's name. A partition without one has no end."""
    found = _DAY.fullmatch(partition)
    return dt.date(*map(int, found.groups())) if found else None
