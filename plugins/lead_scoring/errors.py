"""The errors that the library raises on purpose.

Each one names the thing, its value and the remedy, in one line. The class says what the caller should do, so that the
command line can choose an exit code and Airflow can choose between failing at once and trying again.
"""

from __future__ import annotations


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
