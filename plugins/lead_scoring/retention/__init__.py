"""An end for everything: runs, partitions and staging that nobody needs any more."""

from __future__ import annotations

from lead_scoring.retention.partitions import tidy_partitions
from lead_scoring.retention.runs import FreedRuns, tidy_runs

__all__ = ["FreedRuns", "tidy_partitions", "tidy_runs"]
