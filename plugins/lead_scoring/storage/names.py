"""Which object names both backends accept."""

from __future__ import annotations

from lead_scoring.errors import BadInput


def is_name(name: str) -> bool:
    """True for a name that both backends can hold.

    A part that starts with a dot is none: it would step out of the folder (``..``), or meet the files that
    :class:`~lead_scoring.storage.local.LocalStore` keeps for itself.
    """
    return (
        name.isprintable() and "\\" not in name and all(part and not part.startswith(".") for part in name.split("/"))
    )


def check_name(name: str) -> str:
    """Return the name.

    :raises BadInput: it is empty, absolute, has an empty or dotted part, a backslash or a control character.
    """
    if not is_name(name):
        raise BadInput(
            f"object name {name!r} cannot be used; give parts joined by '/', none of them empty or starting with a dot"
        )
    return name
