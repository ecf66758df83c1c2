"""Read back what the org was given: a value that somebody has wiped or overwritten since is found and sent again."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lead_scoring.salesforce.client import OrgClient
from lead_scoring.salesforce.diff import Drifted
from lead_scoring.salesforce.fields import MappedField, canonical, digests

if TYPE_CHECKING:
    import pyarrow as pa


def read_back(client: OrgClient, fields: Sequence[MappedField], as_of: dt.date, share: float) -> Drifted | None:
    """For :func:`~lead_scoring.salesforce.diff.compare`: which of the unchanged leads the org shows otherwise.

    :param share: of the leads to look at; the days take turns, so that 0.2 sees every lead once in five days. At 0
        nothing is read back. A read takes one API request for 2,000 leads.
    """
    turns = round(1 / share) if share else 0

    def drifted(ids: pa.Array, digest: pa.Array, unchanged: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        today = as_of.toordinal() % turns
        names = {place: ids[place].as_py() for place in pc.indices_nonzero(unchanged).to_pylist()}
        looked_at = {place: lead_id for place, lead_id in names.items() if _turn(lead_id, turns) == today}
        shown = dict(client.read_leads(list(looked_at.values()), [field.name for field in fields]))
        # a lead that was deleted has not drifted
        there = [(place, record) for place, lead_id in looked_at.items() if (record := shown[lead_id])]
        encoded = {
            field.name: pa.array([canonical(field, record[field.name]) for _, record in there], pa.string())
            for field in fields
        }
        found = [False] * len(ids)
        for (place, _), seen in zip(there, digests(fields, encoded), strict=True):
            found[place] = seen != digest[place].as_py()
        return pa.array(found, pa.bool_())

    return drifted if turns else None


def _turn(lead_id: str, turns: int) -> int:
    return int.from_bytes(hashlib.sha256(lead_id.encode()).digest()[:8], "big") % turns
