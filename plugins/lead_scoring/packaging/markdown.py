"""Numbers and tables of the model card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BARE_PIPE = re.compile(r"(?<!\\)\|")


def number(value: float | None, digits: int, suffix: str = "") -> str:
    """A number, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}f}{suffix}"


def percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}%}"


def interval(found: Mapping[str, float] | None, digits: int, suffix: str = "", *, percent: bool = False) -> str:
    """``3.03x [2.08, 4.10]``.

    :param found: ``{"value", "low", "high"}``, or None for a dash.
    :param percent: the numbers are shares.
    """
    if found is None:
        return "-"
    scale, suffix = (100, " %") if percent else (1, suffix)
    value, low, high = (number(found[name] * scale, digits) for name in ("value", "low", "high"))
    return f"{value}{suffix} [{low}, {high}]"


def sentence(text: str) -> str:
    """With a capital letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table. A pipe or a line break in a cell stays in its cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    return _BARE_PIPE.sub(r"\\|", " ".join(str(value).split()))
