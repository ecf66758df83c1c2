"""The errors that the library raises on purpose.

Each one names the thing, its value and the remedy, in one line. The class says what the caller should do, so that the
command line can choose an exit code and Airflow can choose between failing at once and trying again.
"""

from __future__ import annotations

import errno


class LeadScoringError(Exception):
    """Base class. ``exit_code`` is what the command line exits with."""

    exit_code = 2


class BadInput(LeadScoringError):
    """The input cannot be used, and will not become usable by trying again. Exit 2; a task fails at once."""


class CheckFailed(LeadScoringError):
    """The work was done and a check said no: a finding, a gate, an audit. Exit 1; a task fails at once."""

    exit_code = 1


class Conflict(LeadScoringError):
    """Somebody else changed the thing first, or it exists with other content. Nothing was written."""


class Transient(LeadScoringError):
    """A service did not answer, or asked to be tried later. A task backs off and tries again."""


class NotFound(BadInput):
    """The named file, table, version or run does not exist."""


class Exhausted(Transient):
    """Memory or disk ran out. The input is not to blame; with more room, or less beside it, the same work passes."""


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def exhausted(error: BaseException) -> Exhausted | None:
    """What an error of Python, Arrow, DuckDB or XGBoost means if it is about memory or disk; None if it is not."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    if (isinstance(error, OSError) and error.errno in NO_SPACE) or "No space left on device" in text:
        where = getattr(error, "filename", None)
        return Exhausted(
            f"the disk is full{f' ({where})' if where else ''}; free space (`lead-scoring tidy` removes what nobody "
            "needs any more), or put storage.runs, warehouse.folder or TMPDIR on a larger disk"
        )
    if kind == "OutOfMemoryException" or "Out of Memory Error" in text:
        return Exhausted(
            f"a query ran out of memory ({text[:150]}); raise warehouse.memory_limit_mb, or lower warehouse.threads"
        )
    if isinstance(error, MemoryError) or "bad_alloc" in text or "bad allocation" in text:
        return Exhausted(
            "memory ran out; give the task more, or lower warehouse.memory_limit_mb and features.rows_per_shard"
        )
    return None
