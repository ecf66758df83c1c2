"""Salesforce ids: 15 characters that mind capitals, and the 18-character form with a checksum that does not need to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lead_scoring.lead_ids import complete_id, valid_lead_ids

_LEAD_ID = re.compile(r"00Q[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?")


def long_id(text: str | None) -> str | None:
    """The 18-character form of a Lead id, or None if it is not one."""
    if text is None or not _LEAD_ID.fullmatch(text):
        return None
    full = complete_id(text[:15])
    return full if text in {text[:15], full} else None


def normal_ids(texts: Sequence[str | None]) -> list[str | None]:
    """The 18-character ids; what is no id stays as it is, so that it can be reported."""
    valid = valid_lead_ids(texts).tolist()
    return [text if good else long_id(text) or text for text, good in zip(texts, valid, strict=True)]
