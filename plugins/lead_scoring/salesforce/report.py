"""What a sync did, for people: counts, who moved most, what the org said; and the verdict on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
SAMPLE_ROWS = 5


def figures_of(
    diff: Diff, settings: SalesforceSettings, quota: Mapping[str, int], interrupted: str | None
) -> dict[str, Any]:
    """What the run would change: by bucket, between buckets, the leads that moved most, some rows in full."""
    moved = [change for change in diff.changes if change.previous_score is not None and change.problem is None]
    moved.sort(key=lambda change: (-abs((change.score or 0.0) - (change.previous_score or 0.0)), change.lead_id or ""))
    return {
        "by_bucket": dict(sorted(Counter(str(change.bucket) for change in diff.changes).items())),
        "by_reason": dict(sorted(Counter(change.reason for change in diff.changes).items())),
        "bucket_changes": {f"{old} > {new}": n for (old, new), n in sorted(diff.bucket_changes.items())},
        "bucket_change_share": round(diff.bucket_change_share, 6),
        "needs_approval": diff.bucket_change_share > settings.max_bucket_change_share,
        "top_movers": [
            {
                "lead_id": change.lead_id,
                "previous_score": change.previous_score,
                "score": change.score,
                "previous_bucket": change.previous_bucket,
                "bucket": change.bucket,
            }
            for change in moved[:MOVERS]
        ],
        "sample": [{"lead_id": change.lead_id, **change.values} for change in diff.changes[:SAMPLE_ROWS]],
        "api_requests": dict(quota),
        "interrupted_run": interrupted,
        "dry_run_reason": "",
        "messages": {},
        "problems": [],
    }


def counts_of(diff: Diff, rows: Sequence[Mapping[str, Any]], of_run: pa.Table | None) -> dict[str, int]:
    """Counts of the run, all its tries together.

    leads = unchanged + parked + changed; changed = accepted + rejected + exhausted + unprocessed.

    :param rows: of this try.
    :param of_run: ledger rows of all tries; None in a dry run, which changes nothing but says what it would.
    """
    counts = {"leads": diff.leads, "unchanged": diff.unchanged, "parked": diff.parked, "changed": len(diff.changes)}
    if of_run is None:
        problems = sum(change.problem is not None for change in diff.changes)
        sent = {"sent": 0, ledger.ACCEPTED: 0, ledger.REJECTED: problems, ledger.EXHAUSTED: 0, ledger.UNPROCESSED: 0}
        return {**counts, **sent}
    last = last_tries(of_run.to_pylist())
    statuses = Counter(row["status"] for row in last)
    this_try = {row["sequence"] for row in rows}
    earlier = Counter(row["status"] for row in last if row["sequence"] not in this_try)
    counts["changed"] = len(last)
    counts["parked"] = max(0, diff.parked - earlier[ledger.REJECTED])
    counts["unchanged"] = diff.leads - counts["changed"] - counts["parked"]
    names = (ledger.ACCEPTED, ledger.REJECTED, ledger.EXHAUSTED, ledger.UNPROCESSED)
    return {
        **counts,
        "sent": sum(row["attempts"] > 0 for row in last),
        **{name: statuses[name] for name in names},
    }


def last_tries(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several tries of one run, the last row of each lead. Rows of the same try, or without a lead, all stay."""
    newest: dict[str | None, int] = {}
    for row in rows:
        newest[row["lead_id"]] = max(newest.get(row["lead_id"], 0), row["sequence"])
    return [row for row in rows if row["sequence"] == newest[row["lead_id"]]]


def write_report(
    work: Path, counts: dict[str, int], figures: dict[str, Any], of_run: Sequence[dict[str, Any]]
) -> StageOutput:
    """``report.json`` and ``not_accepted.parquet``, the rows that the org did not take, with its message."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    left = [row for row in last_tries(of_run) if row["status"] != ledger.ACCEPTED]
    problems = problems_of(left)
    figures = {**figures, "problems": problems, "messages": messages_of(problems)}
    pq.write_table(pa.Table.from_pylist(left, schema=ledger.schema()), work / "not_accepted.parquet")
    (work / "report.json").write_bytes(canonical_json({"counts": counts, "figures": figures}))
    files = {name: work / name for name in ("report.json", "not_accepted.parquet")}
    return StageOutput(files=files, counts=counts, figures=figures)


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


def judge(counts: Mapping[str, int], problems: Sequence[Mapping[str, Any]], settings: SalesforceSettings) -> None:
    """Whether the run may be called a success.

    :raises CheckFailed: refusals are above the thresholds, or nothing was accepted of what was to change.
    :raises Transient: they are only together with rows that another run may get through.
    """
    changed, parked, leads = counts["changed"], counts["parked"], counts["leads"]
    passing = counts[ledger.EXHAUSTED] + counts[ledger.UNPROCESSED]
    said = "; ".join(f"{entry['count']} x {entry['code']}" for entry in problems[:3])
    for refused, error in ((counts[ledger.REJECTED], CheckFailed), (counts[ledger.REJECTED] + passing, Transient)):
        if refused and (
            refused == changed
            or refused / changed > settings.max_rejected_share
            or refused > settings.max_rejected_rows
            or (refused + parked) / leads > settings.max_rejected_share
        ):
            raise error(
                f"Salesforce did not take {refused} of {changed} changed leads ({said}); allowed are "
                f"{settings.max_rejected_share:.0%} and {settings.max_rejected_rows} rows; see `sync status` and "
                "not_accepted.parquet"
            )
    if leads and parked / leads > settings.max_rejected_share:
        raise CheckFailed(
            f"{parked} of {leads} leads are parked: Salesforce refused their values in earlier runs; remove the reason "
            "in the org, then sync with retry_parked"
        )
