"""What was done to the versions, and what it adds up to: the events, and the state that follows from them.

Shared by the registry, which appends, and the scorer, which must not take anybody's word for what is in production.
"""

from __future__ import annotations

from lead_scoring.history.events import EVENTS, REGISTRY_FILE, Event, EventLog
from lead_scoring.history.state import Entry, State, fold, moment

__all__ = ["EVENTS", "REGISTRY_FILE", "Entry", "Event", "EventLog", "State", "fold", "moment"]
