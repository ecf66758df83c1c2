"""What the gate answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class GateVerdict:
    """:param accepted: True, False, or None for "cannot tell".

    :param reasons: sentences for a person.
    :param figures: JSON values: gains with intervals (positive = challenger better), counts, what was needed.
    """

    accepted: bool | None
    reasons: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}
