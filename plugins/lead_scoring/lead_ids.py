"""Salesforce Lead ids: 15 case-sensitive characters, then 3 that encode which of them are capitals.

Source: Salesforce, "How to convert a 15-character Id to an 18-character case-safe Id": each of the last three
characters stands for five of the first fifteen: its bits (least first) say which are capitals; it is one of A-Z, 0-5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEAD_PREFIX = "00Q"
_LEAD_ID = re.compile(r"00Q[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?")
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def complete_id(short: str) -> str:
    """The 18-character form of a 15-character id.

    >>> complete_id("00QVT00000AbCdE")
    '00QVT00000AbCdE2AV'
    """
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << place for place, letter in enumerate(short[start : start + 5]) if letter.isupper())
        suffix += _SUFFIX[bits]
    return short + suffix


def long_id(text: str | None) -> str | None:
    """The 18-character form of a Lead id of either length, or None if it is not one."""
    if text is None or not _LEAD_ID.fullmatch(text):
        return None
    full = complete_id(text[:15])
    return full if text in {text[:15], full} else None


def normal_ids(texts: Sequence[str | None]) -> list[str | None]:
    """The 18-character ids; what is no id stays as it is, so that it can be reported."""
    valid = valid_lead_ids(texts).tolist()
    return [text if good else long_id(text) or text for text, good in zip(texts, valid, strict=True)]


def valid_lead_ids(ids: Sequence[str | None]) -> npt.NDArray[np.bool_]:
    """Which of ``ids`` are 18-character Lead ids with the right suffix. Shape (n,)."""
    count = len(ids)
    letters = np.zeros((count, 18), dtype=np.uint8)
    right_length = np.array([isinstance(text, str) and len(text) == 18 and text.isascii() for text in ids], dtype=bool)
    if not right_length.any():
        return right_length
    joined = "".join(text for text, good in zip(ids, right_length, strict=True) if good and text is not None)
    letters[right_length] = np.frombuffer(joined.encode("ascii"), dtype=np.uint8).reshape(-1, 18)
    upper = (letters >= ord("A")) & (letters <= ord("Z"))
    lower = (letters >= ord("a")) & (letters <= ord("z"))
    digit = (letters >= ord("0")) & (letters <= ord("9"))
    table = np.frombuffer(_SUFFIX.encode(), dtype=np.uint8)
    bits = upper[:, :15].reshape(count, 3, 5) @ np.array([1, 2, 4, 8, 16])
    prefix = np.frombuffer(LEAD_PREFIX.encode(), dtype=np.uint8)
    valid: npt.NDArray[np.bool_] = (
        right_length
        & (upper | lower | digit).all(axis=1)
        & (letters[:, :3] == prefix).all(axis=1)
        & (table[bits] == letters[:, 15:]).all(axis=1)
    )
    return valid
