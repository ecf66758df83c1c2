"""The one place where settings become clients and the stages are called, in order.

The command line and the Airflow tasks both call these methods, so what a task does can be done by hand, and the other
way round. Each method takes manifests, returns one :class:`~lead_scoring.stage.Manifest`, and can be called again at
any time: finished work is found, not repeated.
"""

from __future__ import annotations

from lead_scoring.pipeline.clients import CHAMPION
from lead_scoring.pipeline.maintenance import Maintenance
from lead_scoring.pipeline.refresh import Refresh

__all__ = ["CHAMPION", "Pipeline"]


class Pipeline(Refresh, Maintenance):
    """All stages over one set of settings: from source tables to a champion, from a champion to Salesforce."""
