"""``production/champion.json``: which version the placed function serves where no registry lies beside the folder."""

from __future__ import annotations

import json

from lead_scoring.errors import CheckFailed

CHAMPION_FILE = "champion.json"
# The way back of a task that met a damaged version. Clearing from the first task looks up the champion anew.
WAY_BACK = (
    "put another version into production (`lead-scoring registry list` names them, `lead-scoring registry promote V "
    "--reason WHY`) and clear the red run from its first task"
)


def champion_bytes(version: str, manifest_digest: str) -> bytes:
    return (json.dumps({"version": version, "manifest_digest": manifest_digest}, indent=2) + "\n").encode()


def read_champion(data: bytes, source: str) -> tuple[str, str]:
    """Version and SHA-256 of its manifest. :raises CheckFailed: the bytes are not as they were placed."""
    try:
        content = json.loads(data)
        version, digest = str(content["version"]), str(content["manifest_digest"])
    except (ValueError, KeyError, TypeError, RecursionError):
        version, digest = "", ""
    if champion_bytes(version, digest) != data:
        raise CheckFailed(f"{source} is not as it was placed; deploy the folder again, as the registry left it")
    return version, digest
