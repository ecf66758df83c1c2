"""What a sync did, for people: counts, who moved most, what the org said; and the verdict on it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import CheckFailed, Transient
from lead_scoring.salesforce import ledger
from lead_scoring.salesforce.diff import Diff
from lead_scoring.settings import SalesforceSettings
from lead_scoring.stage import StageOutput, canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

MOVERS = 10
SHOWN_DECIMALS = 4  # of a score in the org: a smaller move is none that anybody sees
SAMPLE_ROWS = 5
CLOSED_FEW = 10  # so many leads may turn out closed on any day, even if nothing else changed
RETRY = "clear the task (on the command line: sync with --retry-parked)"
_WAY_BACK = {
    CheckFailed: f"remove the reason in the org or the data, then {RETRY}; the next day's run sends them too",
    Transient: "the reasons pass: try again, or leave them to the next day's run",
}
INTERNAL = ("digest", "expires_on", "score", "bucket", "previous_score", "previous_bucket", "code", "message")


def figures_of(
    diff: Diff,
    settings: SalesforceSettings,
    quota: Mapping[str, int],
    interrupted: str | None,
    superseded: dt.date | None = None,
) -> dict[str, Any]:
    """What the run would change: by bucket, between buckets, the leads that moved most, some rows in full.

    :param superseded: the later day whose scores the org has. Then nobody is asked: nothing will be sent.
    """
    changes = diff.changes
    sample = changes.slice(0, SAMPLE_ROWS).to_pylist()
    return {
        "by_bucket": _tally(changes, "bucket"),
        "by_reason": _tally(changes, "reason"),
        "bucket_changes": {f"{old} > {new}": n for (old, new), n in sorted(diff.bucket_changes.items())},
        "bucket_change_share": round(diff.bucket_change_share, 6),
        "needs_approval": diff.bucket_change_share > settings.max_bucket_change_share and not superseded,
        "top_movers": _top_movers(changes),
        "sample": [{name: value for name, value in row.items() if name not in INTERNAL} for row in sample],
        "api_requests": dict(quota),
        "interrupted_run": interrupted,
        "superseded_by": superseded.isoformat() if superseded else None,
        "dry_run_reason": "",
        "messages": {},
        "problems": [],
    }


def _tally(changes: pa.Table, column: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    if changes.num_rows:
        for entry in changes[column].value_counts().to_pylist():
            counts[str(entry["values"])] += entry["counts"]
    return dict(sorted(counts.items()))


def _top_movers(changes: pa.Table) -> list[dict[str, Any]]:
    """The leads whose score moved most, either way; leads that did not move are not among them."""
    import pyarrow.compute as pc

    if not changes.num_rows:
        return []
    moved = changes.filter(pc.and_(pc.is_valid(changes["previous_score"]), pc.is_null(changes["code"])))
    shown = [pc.round(moved[name], SHOWN_DECIMALS) for name in ("score", "previous_score")]
    other_bucket = pc.fill_null(pc.not_equal(moved["bucket"], moved["previous_bucket"]), False)
    moved = moved.filter(pc.or_(pc.not_equal(*shown), other_bucket))
    distance = pc.abs(pc.subtract(moved["score"], moved["previous_score"]))
    moved = moved.select(["lead_id", "previous_score", "score", "previous_bucket", "bucket"])
    order = [("distance", "descending"), ("lead_id", "ascending")]
    found: list[dict[str, Any]] = (
        moved.append_column("distance", distance).sort_by(order).drop_columns(["distance"]).slice(0, MOVERS).to_pylist()
    )
    return found


def counts_of(diff: Diff, outcome: pa.Table | None, sequences: Set[int]) -> dict[str, int]:
    """Counts of the run, all its tries together; only ``sent_now`` is of the tries made just now.

    leads = unchanged + parked + closed + changed; changed = accepted + set_aside + rejected + exhausted + unprocessed.

    :param outcome: rows of ``salesforce_run_outcome``; None in a dry run, which changes nothing but says what it would.
    :param sequences: of the tries made just now.
    """
    counts = {"leads": diff.leads, "unchanged": diff.unchanged, "parked": diff.parked, "closed": diff.closed}
    if outcome is None:
        changed = diff.changes.num_rows
        counts |= {"changed": changed, "sent": 0, "sent_now": 0, **dict.fromkeys(ledger.OUTCOMES, 0)}
        return {**counts, ledger.SET_ASIDE: changed - diff.sendable}
    statuses = outcome["status"].to_pylist()
    just_now = [sequence in sequences for sequence in outcome["sequence"].to_pylist()]
    refused = (ledger.SET_ASIDE, ledger.REJECTED)
    earlier = Counter(  # what this very run was refused is counted as such, not as held back
        "closed" if code in ledger.CLOSED_CODES else "parked"
        for status, code, now in zip(statuses, outcome["code"].to_pylist(), just_now, strict=True)
        if status in refused and not now
    )
    totals = Counter(statuses)
    for name in ("parked", "closed"):
        counts[name] = max(0, counts[name] - earlier[name])
    counts["unchanged"] = diff.leads - len(statuses) - counts["parked"] - counts["closed"]
    sent = [attempts > 0 for attempts in outcome["attempts"].to_pylist()]
    sent_now = sum(done and now for done, now in zip(sent, just_now, strict=True))
    counts |= {"changed": len(statuses), "sent": sum(sent), "sent_now": sent_now}
    return {**counts, **{name: totals[name] for name in ledger.OUTCOMES}}


def write_report(work: Path, counts: dict[str, int], figures: dict[str, Any], outcome: pa.Table | None) -> StageOutput:
    """``report.json``, with what the org said of the rows that it did not take."""
    problems = [] if outcome is None else problems_of(ledger.not_accepted(outcome))
    figures = {**figures, "problems": problems, "messages": messages_of(problems)}
    (work / "report.json").write_bytes(canonical_json({"counts": counts, "figures": figures}))
    return StageOutput(files={"report.json": work / "report.json"}, counts=counts, figures=figures)


def problems_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the org said, by code, most frequent first, with one lead as an example."""
    by_code: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_code.setdefault(row["code"] or row["status"], []).append(row)
    return [
        {
            "code": code,
            "count": len(group),
            "status": group[0]["status"],
            "message": group[0]["message"],
            "lead_id": group[0]["lead_id"],
        }
        for code, group in sorted(by_code.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def messages_of(problems: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Message to how many rows it stopped."""
    return {f"{entry['code']}: {entry['message']}": entry["count"] for entry in problems}


def refused_before(outcome: pa.Table, known: pa.Table | None, as_of: dt.date) -> int:
    """How many leads that a run was refused had been refused on an earlier day already.

    :param outcome: rows of ``salesforce_run_outcome``. :param known: of ``salesforce_lead_state``, before the run.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if known is None:
        return 0
    earlier = known.filter(pc.fill_null(pc.less(known["parked_since"], pa.scalar(as_of, pa.date32())), False))
    refused = pc.and_(
        pc.is_in(outcome["status"], value_set=pa.array([ledger.SET_ASIDE, ledger.REJECTED])),
        pc.invert(pc.is_in(outcome["code"], value_set=pa.array(ledger.CLOSED_CODES))),
    )
    again = pc.is_in(outcome.filter(refused)["lead_id"], value_set=earlier["lead_id"], skip_nulls=True)
    return int(pc.sum(pc.cast(again, pa.int64()), min_count=0).as_py())


def judge(
    counts: Mapping[str, int],
    problems: Sequence[Mapping[str, Any]],
    settings: SalesforceSettings,
    run_key: str,
    *,
    retried: bool = False,
    refused_before: int = 0,
) -> None:
    """Whether the run may be called a success.

    A lead that was closed (``CLOSED_CODES``) is no failure: leads are converted and deleted every day. But more than
    ``CLOSED_FEW``, and more than half of all leads or of the changed ones, are the work of a wrong org.

    :param run_key: under what the ledger has the run.
    :param retried: a person asked to send closed leads again; that they are refused once more is no news.
    :param refused_before: of the refused leads those that were refused on an earlier day too. They are no news either:
        they count against the share of all leads and the limit of rows, not against what changed today.
    :raises CheckFailed: refusals are above the thresholds, or nothing was accepted of what was to change.
    :raises Transient: they are only together with rows that another run may get through.
    """
    changed, parked, leads = counts["changed"], counts["parked"], counts["leads"]
    closed = sum(entry["count"] for entry in problems if entry["code"] in ledger.CLOSED_CODES)
    failures = [entry for entry in problems if entry["code"] not in ledger.CLOSED_CODES]
    said = "; ".join(f"{entry['count']} x {entry['code']}" for entry in failures[:3])
    groups = [(closed + counts["closed"], leads, "leads")]
    if not retried:
        groups.append((closed, changed, "changed leads"))
    for count, of, which in groups:
        if count > CLOSED_FEW and count > of / 2:
            raise CheckFailed(
                f"{count} of {of} {which} are converted, deleted or unknown in Salesforce: see that the "
                "connection leads to the right org and its user may edit converted leads, "
                f"then {RETRY}; `lead-scoring sync status --run {run_key}` lists those of this run"
            )
    open_leads = changed - closed
    refused_for_good = counts[ledger.SET_ASIDE] + counts[ledger.REJECTED] - closed
    passing = counts[ledger.EXHAUSTED] + counts[ledger.UNPROCESSED]
    new_leads = open_leads - refused_before
    for refused, error in ((refused_for_good, CheckFailed), (refused_for_good + passing, Transient)):
        news = refused - refused_before
        if refused and (
            (news and (news == new_leads or news / new_leads > settings.max_rejected_share))
            or refused > settings.max_rejected_rows
            or (refused + parked) / leads > settings.max_rejected_share
        ):
            raise error(
                f"{refused} of {changed} changed leads could not be written ({said}); allowed are "
                f"{settings.max_rejected_share:.0%} and {settings.max_rejected_rows} rows; "
                f"`lead-scoring sync status --run {run_key}` lists them; {_WAY_BACK[error]}"
            )
    if leads and parked / leads > settings.max_rejected_share:
        raise CheckFailed(
            f"{parked} of {leads} leads are parked: their values were refused in earlier runs of this day; "
            f"{_WAY_BACK[CheckFailed]}"
        )
