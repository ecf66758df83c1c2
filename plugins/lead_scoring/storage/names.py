"""Which object names both backends accept."""

from __future__ import annotations

from lead_scoring.errors import BadInput


def check_name(name: str) -> str:
    """Return ``name`` if both backends can hold it.

    A part that starts with a dot is refused: it would step out of the folder (``..``), or meet the files that
    :class:`~lead_scoring.storage.local.LocalStore` keeps for itself.

    :raises BadInput: the name is empty, absolute, has an empty or dotted part, a backslash or a control character.
    """
    parts = name.split("/")
    if any(not part or part.startswith(".") for part in parts) or "\\" in name or not name.isprintable():
        raise BadInput(
            f"object name {name!r} cannot be used; give parts joined by '/', none of them empty or starting with a dot"
        )
    return name
