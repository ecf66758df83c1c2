"""The Lead fields and the permission set as Salesforce metadata in source format, written from the mapping."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lead_scoring.salesforce.fields import MappedField

PERMISSION_SET = "Lead_Scoring_Sync"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_FIELDS = "objects/Lead/fields"


def metadata_files(fields: Sequence[MappedField]) -> dict[str, str]:
    """Path below ``force-app`` to content of every file that an org needs."""
    files = {f"{_FIELDS}/{field.name}.field-meta.xml": _xml("CustomField", _field(field)) for field in fields}
    return {
        **files,
        f"permissionsets/{PERMISSION_SET}.permissionset-meta.xml": _xml("PermissionSet", _permission_set(fields)),
    }


def write_metadata(fields: Sequence[MappedField], out: Path) -> list[Path]:
    """Write :func:`metadata_files` below ``out``/force-app, beside what else is there."""
    root = out / "force-app"
    files = metadata_files(fields)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return [root / name for name in files]


def _field(field: MappedField) -> list[tuple[str, Any]]:
    """Elements in the order of the alphabet behind the name, as the Salesforce CLI writes them."""
    elements: dict[str, Any] = {
        "description": field.help_text,
        "externalId": "false",
        "inlineHelpText": field.help_text,
        "label": field.name.removesuffix("__c").replace("_", " "),
        "trackFeedHistory": "false",
        "type": field.kind,
    }
    if field.kind == "Checkbox":
        elements["defaultValue"] = "false"
    elif field.kind == "LongTextArea":
        elements["visibleLines"] = "6"
    else:
        elements["required"] = "false"
    if field.kind in {"Text", "Number"}:
        elements["unique"] = "false"
    if field.length:
        elements["length"] = str(field.length)
    if field.kind == "Number":
        elements |= {"precision": str(field.precision), "scale": str(field.scale)}
    if field.kind == "Picklist":
        values = [("value", {"fullName": name, "default": "false", "label": name}) for name in field.values]
        elements["valueSet"] = [("restricted", "true"), ("valueSetDefinition", [("sorted", "false"), *values])]
    return [("fullName", field.name), *sorted(elements.items())]


def _permission_set(fields: Sequence[MappedField]) -> list[tuple[str, Any]]:
    names = sorted(field.name for field in fields)
    may_edit = [
        ("fieldPermissions", {"editable": "true", "field": f"Lead.{name}", "readable": "true"}) for name in names
    ]
    rights = {"allowCreate": "false", "allowDelete": "false", "allowEdit": "true", "allowRead": "true"}
    return [
        (
            "description",
            "For the user that writes lead scores: reads and edits leads, nothing else. It can delete nothing.",
        ),
        *may_edit,
        ("hasActivationRequired", "false"),
        ("label", PERMISSION_SET.replace("_", " ")),
        ("objectPermissions", {**rights, "modifyAllRecords": "false", "object": "Lead", "viewAllRecords": "true"}),
        ("userPermissions", {"enabled": "true", "name": "ApiEnabled"}),
    ]


def _xml(tag: str, content: Sequence[tuple[str, Any]]) -> str:
    root = ElementTree.Element(tag, xmlns=_NAMESPACE)
    _fill(root, content)
    ElementTree.indent(root, "    ")
    return f"{_HEAD}{ElementTree.tostring(root, encoding='unicode')}\n"


def _fill(parent: ElementTree.Element, content: Sequence[tuple[str, Any]] | Mapping[str, Any]) -> None:
    for tag, value in content.items() if isinstance(content, Mapping) else content:
        child = ElementTree.SubElement(parent, tag)
        if isinstance(value, str):
            child.text = value
        else:
            _fill(child, value)
