"""Salesforce: preflight, diff, sync through Bulk API 2.0, ledger, undo and status."""

from __future__ import annotations

from lead_scoring.salesforce.client import lead_list_url
from lead_scoring.salesforce.lead_values import shown_of
from lead_scoring.salesforce.login import connect, logging_in
from lead_scoring.salesforce.session import session
from lead_scoring.salesforce.status import not_accepted, status
from lead_scoring.salesforce.sync import Superseded, SyncRequest, sync
from lead_scoring.salesforce.undo import undo

__all__ = [
    "Superseded",
    "SyncRequest",
    "connect",
    "lead_list_url",
    "logging_in",
    "not_accepted",
    "session",
    "shown_of",
    "status",
    "sync",
    "undo",
]
