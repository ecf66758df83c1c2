"""The release: judge a challenger, compute its version, write its package and its model card."""

from __future__ import annotations

from lead_scoring.packaging.gate import GateVerdict, gate, gate_release
from lead_scoring.packaging.package import PackageSources, ReleaseFacts, package, version_of
from lead_scoring.packaging.standing import recent_part, training_report_of

__all__ = [
    "GateVerdict",
    "PackageSources",
    "ReleaseFacts",
    "gate",
    "gate_release",
    "package",
    "recent_part",
    "training_report_of",
    "version_of",
]
