"""The web page: leads with their scores, one lead with all fields and its history, and the fault switches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from sandbox.salesforce_org.faults import SWITCHES
from sandbox.salesforce_org.schema import Field

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; }
tr { border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
td.number { text-align: right; font-variant-numeric: tabular-nums; } nav a { margin-right: 1rem; }
input[type=text], input[type=number] { font: inherit; padding: .2rem .4rem; } .quiet { opacity: .7; }
"""
COLUMNS = (
    "Company",
    "Lead_Score__c",
    "Lead_Score_Bucket__c",
    "Lead_Score_Percentile__c",
    "Lead_Score_Rank__c",
    "Lead_Score_Trend__c",
)


def _page(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<nav><a href='/'>Leads</a><a href='/faults'>Faults</a></nav>"
        f"<h1>{escape(title)}</h1>{body}</html>"
    )


def _cell(value: Any, field: Field | None = None) -> str:
    if isinstance(value, float) and field is not None:
        return f"<td class=number>{value:.{field.scale}f}</td>"
    return f"<td>{'' if value is None else escape(str(value))}</td>"


def leads_page(leads: Iterable[Mapping[str, Any]], fields: Mapping[str, Field], total: int, search: str) -> str:
    shown = [name for name in COLUMNS if name in fields]
    head = "<th>Lead</th>" + "".join(f"<th>{escape(fields[name].label)}</th>" for name in shown)

    def cells(lead: Mapping[str, Any]) -> str:
        return "".join(_cell(lead[name], fields[name]) for name in shown)

    rows = "".join(f"<tr><td><a href='/lead/{lead['Id']}'>{lead['Id']}</a></td>{cells(lead)}</tr>" for lead in leads)
    hint = "Id, name or bucket"
    form = f"<form><input type=text name=q aria-label=Search placeholder='{hint}' value='{escape(search)}'></form>"
    return _page(
        "Leads", f"{form}<p class=quiet>{total} leads; best scores first</p><table><tr>{head}</tr>{rows}</table>"
    )


def lead_page(lead: Mapping[str, Any], fields: Mapping[str, Field], history: list[dict[str, Any]]) -> str:
    ours_first = sorted(fields.values(), key=lambda field: not field.name.startswith("Lead_"))
    rows = "".join(
        f"<tr><td>{escape(field.label)}</td><td class=quiet>{field.name}</td>{_cell(lead[field.name], field)}</tr>"
        for field in ours_first
    )
    past = "".join(
        f"<tr><td>{entry['at'][:19]}</td><td>{escape(entry['source'])}</td><td>{escape(name)}</td>"
        f"{_cell(old, fields[name])}{_cell(new, fields[name])}</tr>"
        for entry in reversed(history)
        for name, (old, new) in entry["changes"].items()
    )
    heading = "<tr><th>When</th><th>By</th><th>Field</th><th>Old</th><th>New</th></tr>"
    return _page(str(lead["Name"]), f"<table>{rows}</table><h2>History</h2><table>{heading}{past}</table>")


def faults_page(values: Mapping[str, float]) -> str:
    rows = "".join(
        f"<tr><td><label for={name}>{name}</label></td><td class=quiet>{escape(text)}</td>"
        f"<td><input type=number step=any min=0 id={name} name={name} value='{values[name]:g}'></td></tr>"
        for name, text in SWITCHES.items()
    )
    return _page("Faults", f"<form method=post><table>{rows}</table><p><button>Set</button></p></form>")
