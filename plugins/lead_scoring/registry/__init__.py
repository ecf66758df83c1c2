"""Which versions exist, which is in production, since when, by whom and why; that their bytes are as packaged.

:class:`Registry` answers and changes; :func:`publish_package` puts a version's files into the store; :func:`verify`
checks them; :func:`sign_package` vouches for them. The room lies below the stages: packaging, scoring and the page read
it. Names are imported when they are used, so a deployed function carries only what reading a version takes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lead_scoring.registry.events import EVENTS, REGISTRY_FILE, Event, EventLog
    from lead_scoring.registry.package import (
        Package,
        check_files,
        check_placed,
        open_package,
        publish_package,
        restore_package,
    )
    from lead_scoring.registry.registry import Registry
    from lead_scoring.registry.signing import sign_package
    from lead_scoring.registry.state import Entry, State, fold, moment
    from lead_scoring.registry.verification import verify

_HOMES = {
    "EVENTS": "events",
    "REGISTRY_FILE": "events",
    "Entry": "state",
    "Event": "events",
    "EventLog": "events",
    "Package": "package",
    "Registry": "registry",
    "State": "state",
    "check_files": "package",
    "check_placed": "package",
    "fold": "state",
    "moment": "state",
    "open_package": "package",
    "publish_package": "package",
    "restore_package": "package",
    "sign_package": "signing",
    "verify": "verification",
}

__all__ = [
    "EVENTS",
    "REGISTRY_FILE",
    "Entry",
    "Event",
    "EventLog",
    "Package",
    "Registry",
    "State",
    "check_files",
    "check_placed",
    "fold",
    "moment",
    "open_package",
    "publish_package",
    "restore_package",
    "sign_package",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
