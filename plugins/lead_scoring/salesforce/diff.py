"""Which leads a run would change: today's scores against what the ledger says the org has.

Scores are read in batches and compared as columns; only the rows that changed become Python values. A lead is written
when the digest of its compared fields differs from the last accepted one, or when its accepted expiry is about to pass.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lead_scoring.errors import BadInput
from lead_scoring.lead_ids import long_id, normal_ids
from lead_scoring.salesforce.fields import MappedField, digests, encode, unusable
from lead_scoring.salesforce.ledger import CLOSED_CODES

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536
FORGOTTEN = ""  # in place of a digest: equal to none
Drifted = Callable[["pa.Array", "pa.Array", "pa.Array"], "pa.Array"]
STATE_COLUMNS = ("accepted_digest", "score", "bucket", "expires_on", "parked_digest", "parked_code", "parked_as_of")


@dataclass
class Diff:
    """What a run would change. leads = unchanged + parked + closed + changed.

    :param parts: tables with one row a lead to change: ``lead_id``, ``digest``, ``score``, ``bucket``, ``expires_on``,
        ``reason`` (``new``, ``changed``, ``refresh``: its expiry is about to pass, ``drift``: the org does not show any
        more what it had accepted, or ``full``: everything is to be compared), ``previous_score``,
        ``previous_bucket``, ``code`` and ``message`` of why it cannot even be sent (null: it can), and a column of
        canonical text for each field.
    :param leads: rows of scores that were read.
    :param parked: rows whose value was refused in an earlier run over the scores of this day.
    :param closed: rows of leads of which the org takes no value any more.
    """

    parts: list[pa.Table] = field(default_factory=list)
    leads: int = 0
    unchanged: int = 0
    parked: int = 0
    closed: int = 0

    @cached_property
    def changes(self) -> pa.Table:
        """All parts together. Columns, not Python values: a first sync changes every lead of the org."""
        import pyarrow as pa

        return pa.concat_tables(self.parts) if self.parts else pa.table({name: [] for name in ("reason", "code")})

    @cached_property
    def bucket_changes(self) -> dict[tuple[str, str], int]:
        """Bucket in the org and bucket to be to how many leads change so. A first score is no change."""
        import pyarrow.compute as pc

        if not self.changes.num_rows:
            return {}
        pairs = self.changes.select(["previous_bucket", "bucket"]).drop_null()
        moved = pairs.filter(pc.not_equal(pairs["previous_bucket"], pairs["bucket"]))
        counted = moved.group_by(["previous_bucket", "bucket"]).aggregate([([], "count_all")]).to_pylist()
        return {(row["previous_bucket"], row["bucket"]): row["count_all"] for row in counted}

    @property
    def bucket_change_share(self) -> float:
        """Share of all leads of the run whose bucket in the org would change."""
        return sum(self.bucket_changes.values()) / self.leads if self.leads else 0.0

    @property
    def sendable(self) -> int:
        return int(self.changes["code"].null_count)


def compare(
    scores: Sequence[Path],
    state: pa.Table | None,
    fields: Sequence[MappedField],
    *,
    as_of: dt.date,
    refresh_before_days: int,
    retry_parked: bool = False,
    drifted: Drifted | None = None,
) -> Diff:
    """:param state: rows of ``salesforce_lead_state``, or None before the first run.
    :param drifted: given ids, digests and a mask of the leads whose score is unchanged: the mask of those that the org
        shows otherwise by now. They are written again.

    :raises BadInput: a score belongs to another day than ``as_of``.
    """
    twice = _duplicates(scores)
    diff = Diff()
    for batch in _batches(scores, fields):
        _compare_batch(batch, state, fields, twice, diff, as_of, refresh_before_days, retry_parked, drifted)
    return diff


def forgotten(state: pa.Table | None) -> pa.Table | None:
    """The state without what the org accepted or refused, so that every lead is compared with the org itself. Its
    bucket stays: a person is still asked when many leads change theirs.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if state is None:
        return None
    nothing = pa.nulls(state.num_rows, pa.string())
    no_digest = pc.if_else(pc.is_null(state["accepted_digest"]), nothing, FORGOTTEN)
    for name, column in {"accepted_digest": no_digest, "parked_digest": nothing, "parked_code": nothing}.items():
        state = state.set_column(state.column_names.index(name), name, column)
    return state


def _batches(scores: Sequence[Path], fields: Sequence[MappedField]) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = ["lead_id", "lead_score", "score_bucket", "expires_on", "as_of", *(item.column for item in fields)]
    for path in scores:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                yield pa.Table.from_batches([batch])


def _duplicates(scores: Sequence[Path]) -> set[str]:
    """Leads that have more than one score, by their 18-character id."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    ids = pa.chunked_array(
        [
            chunk
            for path in scores
            for chunk in pq.read_table(path, columns=["lead_id"])["lead_id"].cast("string").chunks
        ],
        pa.string(),
    )
    short = pc.utf8_slice_codeunits(ids, 0, 15)  # the checksum adds nothing, and either form may come
    counts = pc.value_counts(short)
    double = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    return {value for value in double if long_id(value)}


def _compare_batch(
    batch: pa.Table,
    state: pa.Table | None,
    fields: Sequence[MappedField],
    twice: set[str],
    diff: Diff,
    as_of: dt.date,
    refresh_before_days: int,
    retry_parked: bool,
    drifted: Drifted | None,
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if batch.num_rows == 0:
        return
    days = pc.unique(pc.cast(batch["as_of"], pa.date32())).to_pylist()
    if days != [as_of]:
        found = ", ".join(map(str, days))
        raise BadInput(f"scores are of {found}, the run's as-of date is {as_of}; give that day's scores")
    ids = pa.array(normal_ids(batch["lead_id"].cast("string").to_pylist()), pa.string())
    encoded = {item.name: encode(item, batch[item.column]) for item in fields}
    digest = pa.array(digests(fields, encoded))
    known = _state_of(ids, state)
    same = pc.fill_null(pc.equal(known["accepted_digest"], digest), False)
    limit = pa.scalar(as_of + dt.timedelta(days=refresh_before_days), pa.date32())
    stale = pc.fill_null(pc.less_equal(known["expires_on"], limit), False)
    fresher = pc.fill_null(pc.greater(pc.cast(batch["expires_on"], pa.date32()), known["expires_on"]), False)
    unchanged = pc.and_(same, pc.invert(pc.and_(stale, fresher)))
    lost = drifted(ids, digest, unchanged) if drifted else pa.array([False] * len(ids), pa.bool_())
    unchanged = pc.and_(unchanged, pc.invert(lost))
    closed = pc.is_in(known["parked_code"], value_set=pa.array(CLOSED_CODES))
    refused = pc.fill_null(pc.equal(known["parked_digest"], digest), False)
    # Until the next day: by then the reason may be gone, and nobody need remember to ask for what it kept back.
    parked = pc.and_(refused, pc.fill_null(pc.equal(known["parked_as_of"], pa.scalar(as_of, pa.date32())), False))
    held = pc.and_(pc.invert(unchanged), pa.scalar(not retry_parked))
    closed = pc.and_(closed, held)
    parked = pc.and_(pc.and_(parked, held), pc.invert(closed))
    diff.leads += batch.num_rows
    diff.unchanged += pc.sum(pc.cast(unchanged, pa.int64())).as_py()
    diff.parked += pc.sum(pc.cast(parked, pa.int64())).as_py()
    diff.closed += pc.sum(pc.cast(closed, pa.int64())).as_py()
    wanted = pc.indices_nonzero(pc.invert(pc.or_(pc.or_(unchanged, parked), closed)))
    changes = pa.table({
        "lead_id": ids,
        "digest": digest,
        "score": pc.cast(batch["lead_score"], pa.float64()),
        "bucket": pc.cast(batch["score_bucket"], pa.string()),
        "expires_on": pc.cast(batch["expires_on"], pa.date32()),
        "reason": pc.if_else(pc.is_null(known["accepted_digest"]), "new", _why_again(known, same, lost)),
        "previous_score": known["score"],
        "previous_bucket": known["bucket"],
        "broken": _broken(batch, fields),
        **encoded,
    })
    diff.parts.append(_with_problems(changes.take(wanted), twice))


def _why_again(known: dict[str, pa.Array], same: pa.Array, lost: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    again = pc.if_else(lost, "drift", pc.if_else(same, "refresh", "changed"))
    return pc.if_else(pc.equal(known["accepted_digest"], FORGOTTEN), "full", again)


def _broken(batch: pa.Table, fields: Sequence[MappedField]) -> pa.Array:
    """Name of a field whose value cannot be written, or null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pa.nulls(batch.num_rows, pa.string())
    for item in fields:
        found = pc.if_else(unusable(item, batch[item.column]), item.name, found)
    return found


def _with_problems(changes: pa.Table, twice: set[str]) -> pa.Table:
    """Add ``code`` and ``message``: why a row cannot be sent."""
    import pyarrow as pa

    columns = (changes[name].to_pylist() for name in ("lead_id", "score", "broken"))
    problems = [_problem(lead_id, score, broken, twice) for lead_id, score, broken in zip(*columns, strict=True)]
    for number, name in enumerate(("code", "message")):
        values = [problem[number] if problem else None for problem in problems]
        changes = changes.append_column(name, pa.array(values, pa.string()))
    return changes.drop_columns(["broken"])


def _problem(lead_id: str | None, score: float | None, broken: str | None, twice: set[str]) -> tuple[str, str] | None:
    if not lead_id:
        return "MISSING_ID", "the score has no lead_id"
    if long_id(lead_id) is None:
        return "MALFORMED_ID", f"lead_id {lead_id!r} is not a Salesforce Lead id"
    if lead_id[:15] in twice:
        return "DUPLICATE_ID", f"lead {lead_id} has more than one score in this run; none was sent"
    if score is None:
        return "MISSING_SCORE", f"lead {lead_id} has no lead_score"
    if broken:
        return (
            "BAD_VALUE",
            f"the value for {broken} of lead {lead_id} cannot be sent: no finite number, no text that a file carries, "
            "or none of the picklist",
        )
    return None


def _state_of(ids: pa.Array, state: pa.Table | None) -> dict[str, pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = {"score": pa.float64(), "expires_on": pa.date32(), "parked_as_of": pa.date32()}
    if state is None or state.num_rows == 0:
        return {name: pa.nulls(len(ids), kinds.get(name, pa.string())) for name in STATE_COLUMNS}
    place = pc.index_in(ids, value_set=state["lead_id"], skip_nulls=True)
    return {name: state[name].combine_chunks().take(place) for name in STATE_COLUMNS}
