"""The fields of the org's objects: a few standard ones, and the custom ones read from deployable metadata."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METADATA_NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
# Metadata type -> (type in describe, soapType in describe)
TYPES = {
    "Id": ("id", "tns:ID"),
    "Text": ("string", "xsd:string"),
    "Email": ("email", "xsd:string"),
    "LongTextArea": ("textarea", "xsd:string"),
    "Number": ("double", "xsd:double"),
    "Checkbox": ("boolean", "xsd:boolean"),
    "Picklist": ("picklist", "xsd:string"),
    "Date": ("date", "xsd:date"),
    "DateTime": ("datetime", "xsd:dateTime"),
    "Reference": ("reference", "tns:ID"),
}


@dataclass(frozen=True)
class Field:
    """One field of an object.

    :param kind: its metadata type, a key of ``TYPES``.
    :param length: of texts, in characters.
    :param values: of a picklist, which takes no others.
    :param precision: of numbers, all digits; ``scale`` of them after the point.
    """

    name: str
    label: str
    kind: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    values: tuple[str, ...] = ()
    updateable: bool = True
    required: bool = False

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    def describe(self) -> dict[str, Any]:
        """The field as ``sobjects/Lead/describe`` shows it, in the keys that clients read."""
        kind, soap = TYPES[self.kind]
        return {
            "name": self.name,
            "label": self.label,
            "type": kind,
            "soapType": soap,
            "length": self.length,
            "byteLength": self.length * 3,
            "precision": self.precision,
            "scale": self.scale,
            "digits": 0,
            "custom": self.custom,
            "nillable": not self.required,
            "createable": self.updateable,
            "updateable": self.updateable,
            "filterable": self.kind != "LongTextArea",
            "sortable": self.kind != "LongTextArea",
            "externalId": False,
            "unique": False,
            "idLookup": self.kind == "Id",
            "calculated": False,
            "autoNumber": False,
            "defaultedOnCreate": False,
            "deprecatedAndHidden": False,
            "nameField": self.name == "Name",
            "referenceTo": ["User"] if self.kind == "Reference" else [],
            "relationshipName": None,
            "picklistValues": [
                {"value": value, "label": value, "active": True, "defaultValue": False} for value in self.values
            ],
        }


# The last three custom fields are the owner's own, not lead scoring's: they are in every org this product meets.
STANDARD_LEAD_FIELDS = (
    Field("Id", "Lead ID", "Id", length=18, updateable=False),
    Field("IsDeleted", "Deleted", "Checkbox", updateable=False),
    Field("IsConverted", "Converted", "Checkbox", updateable=False),
    Field("FirstName", "First Name", "Text", length=40),
    Field("LastName", "Last Name", "Text", length=80, required=True),
    Field("Name", "Full Name", "Text", length=121, updateable=False),
    Field("Company", "Company", "Text", length=255, required=True),
    Field("Email", "Email", "Email", length=80),
    Field("LeadSource", "Lead Source", "Text", length=255),
    Field("Status", "Lead Status", "Text", length=255),
    Field("OwnerId", "Owner ID", "Reference", length=18),
    Field("CreatedDate", "Created Date", "DateTime", updateable=False),
    Field("LastModifiedDate", "Last Modified Date", "DateTime", updateable=False),
    Field("SystemModstamp", "System Modstamp", "DateTime", updateable=False),
    Field("FA_CRD__c", "FA CRD", "Text", length=80),
    Field("stage_entered_contacting__c", "Stage Entered Contacting", "DateTime"),
    Field("Stage_Entered_Call_Scheduled__c", "Stage Entered Call Scheduled", "DateTime"),
)


def read_custom_field(path: Path) -> Field:
    """One ``<name>.field-meta.xml``.

    :raises ValueError: its type is not one the org knows.
    """
    root = ElementTree.parse(path).getroot()

    def text(tag: str, default: str = "") -> str:
        return root.findtext(METADATA_NAMESPACE + tag, default).strip()

    kind = text("type")
    if kind not in TYPES:
        raise ValueError(f"{path}: field type {kind!r} is not one of {sorted(TYPES)}")
    return Field(
        name=text("fullName"),
        label=text("label"),
        kind=kind,
        length=int(text("length", "0")),
        precision=int(text("precision", "0")),
        scale=int(text("scale", "0")),
        values=tuple(
            item.text or "" for item in root.iterfind(f".//{METADATA_NAMESPACE}value/{METADATA_NAMESPACE}fullName")
        ),
        required=text("required") == "true",
    )


def read_lead_fields(metadata: Path) -> dict[str, Field]:
    """Name to field of the Lead object: the standard ones and those found under ``metadata``.

    :raises ValueError: there is no field metadata in that folder.
    """
    paths = sorted(metadata.rglob("objects/Lead/fields/*.field-meta.xml"))
    if not paths:
        raise ValueError(
            f"{metadata} holds no objects/Lead/fields/*.field-meta.xml; point --metadata at include/salesforce"
        )
    fields = [*STANDARD_LEAD_FIELDS, *(read_custom_field(path) for path in paths)]
    return {field.name: field for field in fields}
