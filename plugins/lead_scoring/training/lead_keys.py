"""Who a lead is, whatever table it comes in: its Salesforce id, or what is known of it where rows are only numbered."""

from __future__ import annotations

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

from lead_scoring.errors import BadInput
from lead_scoring.training.rows import LeadRows

LEAD_ID = "lead_id"
VALUES = "features and target"
NUMBERED = re.compile(r"row-\d+")  # a table without lead_id: its rows are numbered when it is brought in


def key_kind(*tables: LeadRows) -> str:
    """``lead_id`` if every lead of these tables has one, ``features and target`` otherwise."""
    numbered = any(NUMBERED.fullmatch(text) for rows in tables for text in _lead_ids(rows))
    return VALUES if numbered else LEAD_ID


def lead_keys(rows: LeadRows, kind: str) -> list[str]:
    """One key a lead, shape (n,), independent of the rest of the table.

    By values two leads that agree in every feature and in the target are the same lead, and a lead whose values were
    changed is another one: the best that a table without ids allows.

    :param kind: ``lead_id`` or ``features and target``.
    """
    if kind == LEAD_ID:
        return _lead_ids(rows)
    values = np.column_stack([rows.features, rows.target.astype(np.float64)]) + 0.0  # -0.0 is 0.0
    values[np.isnan(values)] = np.nan  # one bit pattern for missing
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in values]


def places(keys: list[str], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each key, shape (n,): a fixed function of seed and key, spread evenly (SHA-256)."""
    digests = b"".join(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8] for key in keys)
    return (np.frombuffer(digests, dtype=">u8") >> np.uint64(11)).astype(np.float64) / 2.0**53


def keys_digest(keys: list[str]) -> str:
    """SHA-256 of a set of leads, in hex, whatever their order."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()


def refuse_shared(rows: LeadRows, holdout: LeadRows) -> None:
    """:raises BadInput: a lead of the holdout is in the training table too: it would judge what has seen it."""
    kind = key_kind(rows, holdout)
    learned = dict(zip(lead_keys(rows, kind), _lead_ids(rows), strict=True))
    shared = [
        (learned[key], name)
        for key, name in zip(lead_keys(holdout, kind), _lead_ids(holdout), strict=True)
        if key in learned
    ]
    if not shared:
        return
    first, other = shared[0]
    example = f"lead {first}" if kind == LEAD_ID else f"{other} of the holdout has the values of {first}"
    ids = "" if kind == LEAD_ID else "; with a column lead_id in both tables leads are told apart by it"
    raise BadInput(
        f"{len(shared)} of {len(holdout)} holdout leads are in the training table too (by {kind}; {example}): "
        f"leave them out of one of the two{ids}"
    )


def _lead_ids(rows: LeadRows) -> list[str]:
    return [str(text) for text in rows.table.column("lead_id").to_pylist()]
