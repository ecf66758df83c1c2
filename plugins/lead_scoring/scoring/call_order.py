"""The place of a lead in the call list: 1 is called first.

Ties, which are leads with the same margin to the last bit, are broken by a hash of the lead id: the same every day and
on every engine, and no lead is preferred for the day on which it was entered. ``include/sql/lead_scores`` ranks a day's
leads in the warehouse by the same three keys; a test holds the two together.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

RANKED_BY = ("lead_score", "margin", "lead_id")
_BATCH_ROWS = 65_536


def rank(scores: pa.Table) -> pa.Array:
    """Ranks 1 to n in the order of the rows.

    :param scores: has :data:`RANKED_BY`; one row a lead, no lead twice.

    >>> leads = {"lead_score": [0.1, 0.3, 0.3], "margin": [-2.0, -1.1, -1.0], "lead_id": ["a", "b", "c"]}
    >>> rank(pa.table(leads)).to_pylist()
    [3, 2, 1]
    """
    rows = scores.num_rows
    hashes = np.empty(rows, dtype="S32")
    start = 0
    for batch in scores.select(["lead_id"]).to_batches(
        max_chunksize=_BATCH_ROWS
    ):  # Python's texts of all leads are large
        digests = [hashlib.sha256(lead.encode()).digest() for lead in batch.column(0).to_pylist()]
        hashes[start : start + len(digests)] = digests
        start += len(digests)
    order = np.lexsort((hashes, -scores["margin"].to_numpy(), -scores["lead_score"].to_numpy()))
    ranks = np.empty(rows, dtype=np.int64)
    ranks[order] = np.arange(1, rows + 1)
    return pa.array(ranks)
