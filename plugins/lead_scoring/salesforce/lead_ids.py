"""Salesforce ids: 15 characters that mind capitals, and the 18-character form with a checksum that does not need to."""

from __future__ import annotations

import re

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
LEAD_ID_PATTERN = r"^00Q[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?$"
_LEAD_ID = re.compile(LEAD_ID_PATTERN)


def checksum(short: str) -> str:
    """The last three of 18 characters: for each five, which are capitals, as a number of five bits."""
    return "".join(
        ALPHABET[sum(1 << place for place, letter in enumerate(short[start : start + 5]) if "A" <= letter <= "Z")]
        for start in (0, 5, 10)
    )


def long_id(text: str | None) -> str | None:
    """The 18-character form of a Lead id, or None if it is not one."""
    if text is None or not _LEAD_ID.match(text):
        return None
    full = text[:15] + checksum(text[:15])
    return full if len(text) == 15 or text == full else None
