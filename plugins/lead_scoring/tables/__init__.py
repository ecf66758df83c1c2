"""Tables as people bring them: opened, their columns found by name, their values converted. Every door comes here."""

from __future__ import annotations

from lead_scoring.tables.columns import Column, parse_maps, resolve
from lead_scoring.tables.opened import OpenTable, Taken, find_table, names_in, open_table, take
from lead_scoring.tables.values import ARROW, Misfit, convert

__all__ = [
    "ARROW",
    "Column",
    "Misfit",
    "OpenTable",
    "Taken",
    "convert",
    "find_table",
    "names_in",
    "open_table",
    "parse_maps",
    "resolve",
    "take",
]
