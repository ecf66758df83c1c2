"""``lead-scoring sync``: send changed scores to Salesforce, take a run back, see what was sent."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lead_scoring.cli.common import (
    SALESFORCE_LOGIN,
    TABLE_FORMS,
    add,
    add_as_of,
    add_maps,
    emit,
    group,
    maps_of,
    org,
    pairs,
    pipeline,
    table,
    today,
    whole,
)
from lead_scoring.cli.reports import show_sync, show_undo
from lead_scoring.errors import BadInput
from lead_scoring.stage import run_key

if TYPE_CHECKING:
    from lead_scoring.pipeline import Pipeline


def add_commands(commands: Any) -> None:
    sync = add(
        commands,
        "sync",
        run_sync,
        "send changed scores to Salesforce; `sync undo` takes a run back, `sync status` shows what was sent",
        epilog=f"The login is JSON in ${SALESFORCE_LOGIN}: consumer_key, consumer_secret and domain; or username, "
        "consumer_key and privatekey_file; or username, password and security_token. The sandbox org needs none.",
    )
    sync.add_argument("action", nargs="?", choices=["undo", "status"], help="empty: send")
    sync.add_argument("--scores", metavar="F", help=f"scores, as `score --batch` writes them: {TABLE_FORMS}")
    add_maps(sync)
    sync.add_argument("--dry-run", action="store_true", help="show what would change and send nothing")
    sync.add_argument(
        "--approve",
        type=whole("approve"),
        default=0,
        metavar="N",
        help="send although N leads change bucket, as a dry run shows",
    )
    sync.add_argument("--retry-parked", action="store_true", help="send again what the org refused for good")
    sync.add_argument(
        "--full", action="store_true", help="compare every lead with the org itself, and send what differs there"
    )
    sync.add_argument(
        "--run",
        default="",
        metavar="KEY",
        help="with undo: the run to take back; with status: list the leads that this run could not write",
    )
    add_as_of(sync)

    salesforce = group(commands, "salesforce", "what an org needs before the first sync")
    metadata = add(
        salesforce, "metadata", run_metadata, "write the Lead fields and the permission set, to deploy with sf"
    )
    metadata.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a Salesforce project; force-app is below"
    )


def run_sync(options: argparse.Namespace) -> None:
    from lead_scoring.salesforce.brought_scores import take_scores

    lines = pipeline(options)
    if options.action == "status":
        _status(lines, options)
        return
    if options.action == "undo":
        if not options.run:
            raise BadInput("sync undo needs --run KEY; `lead-scoring sync status` lists the runs")
        report = lines.sync_undo(options.run, org(lines), dry_run=options.dry_run)
        emit(options, report, lambda: show_undo(report))
    else:
        if not options.scores:
            raise BadInput("sync needs --scores FILE; `lead-scoring score --batch IN --out FILE` writes one")
        as_of = lines.as_of(options.as_of, today())
        maps = maps_of(options)
        with tempfile.TemporaryDirectory(prefix="scores-") as folder, lines.opened(options.scores, as_of) as brought:
            taken = take_scores(brought, lines.settings.config_folder, Path(folder) / "scores.parquet", maps)
            key = run_key(as_of, {"scores": brought.digest, **({"maps": maps} if maps else {})})
            report = lines.sync_files(
                [taken.path],
                org(lines),
                as_of=as_of,
                run_key=key,
                dry_run=options.dry_run,
                approved_changes=options.approve,
                retry_parked=options.retry_parked,
                full=options.full,
            )
        report["figures"]["maps"] = maps
        report["figures"]["run_key"] = key
        emit(options, report, lambda: show_sync(report))


def run_metadata(options: argparse.Namespace) -> None:
    from lead_scoring.salesforce.fields import load_fields
    from lead_scoring.salesforce.metadata import write_metadata

    paths = [str(path) for path in write_metadata(load_fields(pipeline(options).settings.config_folder), options.out)]
    emit(options, {"files": paths}, lambda: print(f"{len(paths)} files written below {options.out / 'force-app'}"))


def _status(lines: Pipeline, options: argparse.Namespace) -> None:
    from lead_scoring.salesforce import not_accepted

    if options.run:
        rows = not_accepted(warehouse=lines.warehouse, config_folder=lines.settings.config_folder, run_key=options.run)
        columns = ("lead_id", "status", "code", "message")
        emit(options, rows, lambda: table([[row[name] for name in columns] for row in rows], columns))
    else:
        report = lines.sync_status()
        emit(options, report, lambda: _show(report))


def _show(report: dict[str, Any]) -> None:
    """The runs as a table, newest first, and below it what the org has by now."""
    runs = report["runs"]
    table([list(run.values()) for run in runs], list(runs[0]) if runs else ["no run yet"])
    print()
    buckets = ", ".join(f"{count:,} {name}" for name, count in report["buckets"].items())
    pairs({name: value for name, value in report.items() if name != "runs"} | {"buckets": buckets or None})
