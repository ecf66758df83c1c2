"""The warehouse: one interface, two engines. SQL is BigQuery's on both.

Tables are sets of partitions that are replaced as a whole, never appended to. A query names tables without project or
folder; the engine finds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lead_scoring.errors import BadInput
from lead_scoring.settings import Settings, WarehouseSettings
from lead_scoring.warehouse.interface import PartitionInfo, SqlValue, Warehouse

__all__ = ["PartitionInfo", "SqlValue", "Warehouse", "embedded_engine", "open_warehouse"]


def embedded_engine(folder: Path, limits: WarehouseSettings | None = None) -> Warehouse:
    """The embedded engine over a folder, within the limits of the settings: it spills past them."""
    from lead_scoring.warehouse.embedded import EmbeddedWarehouse

    limits = limits or WarehouseSettings()
    return EmbeddedWarehouse(folder, memory_limit_mb=limits.memory_limit_mb, threads=limits.threads)


def open_warehouse(settings: Settings, client: Any = None) -> Warehouse:
    """The engine that ``warehouse.engine`` names.

    :param client: a ``google.cloud.bigquery.Client``; by default one is made with the credentials of the environment.

    :raises BadInput: the engine is unknown, or BigQuery has no project.
    """
    engine = settings.warehouse.engine
    if engine == "duckdb":
        return embedded_engine(Path(settings.location(settings.warehouse.folder)), settings.warehouse)
    if engine == "bigquery":
        from lead_scoring.warehouse.bigquery import BigQueryWarehouse

        return BigQueryWarehouse(
            project=settings.warehouse.project,
            dataset=settings.warehouse.dataset,
            location=settings.warehouse.location,
            timeout_seconds=settings.warehouse.timeout_seconds,
            job_timeout_seconds=settings.warehouse.job_timeout_seconds,
            sql_folder=settings.sql_folder,
            client=client,
        )
    raise BadInput(f"setting warehouse.engine is {engine!r}; it must be 'duckdb' or 'bigquery'")
