"""``lead-scoring score`` and ``lead-scoring why``: scores, and where one came from."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from lead_scoring.cli.common import (
    SALESFORCE_LOGIN,
    TABLE_FORMS,
    add,
    add_as_of,
    add_maps,
    add_models,
    as_date,
    emit,
    maps_of,
    org,
    pairs,
    pipeline,
    today,
)
from lead_scoring.cli.reports import show_why, show_why_all
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.storage.written import local_file


def add_commands(commands: Any) -> None:
    score = add(
        commands,
        "score",
        run_score,
        "score one lead given as JSON, or a table",
    )
    score.add_argument("lead", nargs="?", metavar="JSON", help="one lead: feature names and values; - reads stdin")
    score.add_argument("--version", default="", metavar="V", help="empty: the version in production")
    score.add_argument("--batch", metavar="IN", help=f"a feature table: {TABLE_FORMS}")
    score.add_argument("--out", type=local_file, metavar="OUT", help="with --batch: the scores (Parquet)")
    add_maps(score)
    add_as_of(score)
    add_models(score)

    why = add(commands, "why", run_why, "walk from the value in Salesforce back to the data, and recompute it")
    why.add_argument("lead_id", nargs="?", metavar="LEAD_ID")
    why.add_argument("--on", default="", metavar="D", help="the day of the score; empty: the latest")
    why.add_argument("--all", action="store_true", help="check every score of a run")
    why.add_argument("--run", default="", metavar="KEY", help="with --all: the run key")
    add_models(why)


def run_score(options: argparse.Namespace) -> None:
    from lead_scoring.scoring.http import read_json

    if bool(options.lead) == bool(options.batch) or bool(options.batch) != bool(options.out):
        raise BadInput("score needs either one lead as JSON, or --batch TABLE with --out OUT.parquet")
    lines = pipeline(options)
    version = options.version or lines.champion()
    if options.batch:
        maps = maps_of(options)
        as_of = lines.as_of(options.as_of, today())
        counts = lines.score_table(options.batch, options.out, version, as_of, maps)
        emit(options, {"version": version, "out": str(options.out), **counts, "maps": maps}, lambda: pairs(counts))
        return
    data = sys.stdin.buffer.read() if options.lead == "-" else options.lead.encode("utf-8", "surrogateescape")
    try:
        lead = read_json(data)
    except BadInput as error:
        raise BadInput(f"lead {data[:60]!r} {error}") from None
    result = lines.scorer(version).score_lead(lead)
    emit(options, result, lambda: pairs(result))


def run_why(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    if options.all:
        report = lines.why_all(options.run)
    elif options.lead_id:
        on = as_date(options.on, "--on") if options.on else None
        asked = lines.settings.salesforce.endpoint or os.environ.get(SALESFORCE_LOGIN)
        report = lines.why(options.lead_id, on, org(lines) if asked else None)
    else:
        raise BadInput("why needs a LEAD_ID, or --all with --run KEY")
    emit(options, report, lambda: show_why_all(report) if options.all else show_why(report))
    differences = report.get("differences") or report.get("different")
    if differences:
        raise CheckFailed(f"the recomputed score differs: {differences}; see the report above")
