"""What the pipeline reports, as tables for people. ``--json`` prints the reports as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lead_scoring.cli.common import pairs, table

COUNTS = {
    "leads": "leads",
    "changed": "to change",
    "unchanged": "as the org has them",
    "parked": "refused in an earlier run of the day",
    "closed": "converted, deleted or unknown leads",
    "left": "left: edited, rewritten or gone since",
    "fields_left": "fields left: edited since",
    "sent": "sent, in all tries of the run",
    "sent_now": "sent just now",
    "accepted": "accepted",
    "set_aside": "cannot be sent",
    "rejected": "refused for good",
    "exhausted": "refused for a passing reason",
    "unprocessed": "not reached",
}
ALWAYS = ("leads", "changed", "sent_now")  # said also when they are nought


def show_sync(report: Mapping[str, Any]) -> None:
    """Of a sync or its dry run: the counts, the moves between buckets, who moved most, what the org refused."""
    counts, figures = report["counts"], report["figures"]
    _head(figures, counts)
    _counted("bucket", figures["by_bucket"])
    _counted("change of bucket", figures["bucket_changes"])
    if figures["needs_approval"]:
        changes = sum(figures["bucket_changes"].values())
        share = figures["bucket_change_share"]
        print(f"\n{share:.1%} of the leads would change bucket: it takes --approve {changes} to send them")
    if movers := figures["top_movers"]:
        print("\nMoved most:")
        columns = ("lead_id", "previous_score", "score", "previous_bucket", "bucket")
        header = ("lead", "score before", "score", "bucket before", "bucket")
        table([[row[name] for name in columns] for row in movers], header)
    _problems(figures["problems"])
    if figures["interrupted_run"]:
        print(f"\nA run was interrupted and is settled by the next sync: {figures['interrupted_run']}")
    if key := figures.get("run_key"):
        print(f"\nrun {key}: `lead-scoring sync undo --run {key} --dry-run` shows what taking it back would do")


def show_undo(report: Mapping[str, Any]) -> None:
    """Of an undo or its dry run: the counts, what goes back by field, examples, what was left alone and why."""
    counts, figures = report["counts"], report["figures"]
    _head(figures, counts)
    _counted("field that goes back", figures["by_field"])
    if examples := figures["examples"]:
        print("\nFor example:")
        table([list(row.values()) for row in examples], ("lead", "field", "from", "to"))
    if left := figures["left"]:
        print("\nLeft as they are:")
        names = ("lead_id", "field", "ours", "theirs", "why")
        table([[row.get(name) for name in names] for row in left], ("lead", "field", "we wrote", "it has", "why"))
    _problems(figures["problems"])


def show_why(report: Mapping[str, Any]) -> None:
    """Of one lead: its score in the org, as published and computed again; its features; where they came from."""
    score, again, org = report["score"], report["recomputed"], report["salesforce"] or {}
    print(f"Lead {report['lead_id']} as of {report['as_of']}, model {report['model']['version']}")
    names = [name for name in dict.fromkeys([*org, *again]) if name in score or name in again]
    header = ("what", *(["in Salesforce"] if org else []), "published", "computed again")
    table([(name, *([org.get(name)] if org else []), score.get(name), again.get(name)) for name in names], header)
    print("\nFeatures" + (f" (clipped to their range: {report['clipped']})" if report["clipped"] else "") + ":")
    table(list(report["features"].items()), ("feature", "value"))
    rest = {name: value for name, value in score.items() if name not in names}
    print("\nWhere it came from:")
    pairs(dict(flat({"score": rest, "model": report["model"], "run": report["run"]})))
    print()
    if not report["differences"]:
        print("Everything agrees: computed again it is the same to the last bit")
    for difference in report["differences"]:
        print(f"DIFFERENT: {difference}")


def show_why_all(report: Mapping[str, Any]) -> None:
    """Of all scores of a run: how many differ, and in what."""
    print(f"run {report['run_key']}: {report['rows']:,} scores computed again, {report['different']:,} differ")
    _counted("column", report["by_column"])
    if report["examples"]:
        print("\nfor example " + ", ".join(report["examples"]))


def show_entry(entry: Mapping[str, Any]) -> None:
    """One version of the registry, a line each."""
    pairs(dict(flat(entry)))


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as ``outer.inner``; a list of plain values on one line, any other by its length."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            plain = not any(isinstance(item, Mapping | list | tuple) for item in value)
            yield f"{prefix}{name}", ", ".join(map(str, value)) if plain else f"{len(value):,} entries"
        else:
            yield f"{prefix}{name}", value


def _head(figures: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    if figures["dry_run_reason"]:
        print(f"Dry run: {figures['dry_run_reason']}")
    later = figures.get("superseded_by")
    if later:
        print(f"The org has the scores of {later}, a later day: these will not be sent")
    shown = [(COUNTS[name], count) for name, count in counts.items() if count or name in ALWAYS]
    table(shown, ("what", "leads"))


def _counted(what: str, counts: Mapping[str, int]) -> None:
    if counts:
        print()
        table(list(counts.items()), (what, "leads"))


def _problems(problems: Sequence[Mapping[str, Any]]) -> None:
    if problems:
        print("\nNot taken:")
        columns = ("count", "code", "message", "lead_id")
        table([[row[name] for name in columns] for row in problems], ("leads", "code", "message", "for example"))
