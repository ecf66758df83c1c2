"""``lead-scoring doctor``, ``tidy`` and ``bench``: is everything well, what can go, and how fast is it."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import pkgutil
from dataclasses import asdict
from typing import Any

from lead_scoring.cli.common import add, add_models, emit, lab, pairs, pipeline, table, today
from lead_scoring.errors import CheckFailed


def add_commands(commands: Any) -> None:
    doctor = add(commands, "doctor", run_doctor, "what is configured, reachable, degenerate or stale, with the fix")
    add_models(doctor)

    tidy = add(commands, "tidy", run_tidy, "remove old runs and partitions that nobody needs any more")
    tidy.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_models(tidy)

    bench = add(commands, "bench", run_bench, "measure; every figure is a ratio within one run")
    bench.add_argument("name", choices=[*benchmarks(), "all"], metavar="NAME", help=f"{', '.join(benchmarks())} or all")
    bench.add_argument("--quick", action="store_true", help="a small size, to see that it works")


def benchmarks() -> list[str]:
    """The modules of ``lab/bench``; none where ``lab/`` is not installed."""
    try:
        folder = importlib.import_module("lab.bench").__path__
    except ModuleNotFoundError:
        return []
    return sorted(item.name for item in pkgutil.iter_modules(folder) if item.name[0] != "_")


def run_doctor(options: argparse.Namespace) -> None:
    from lead_scoring.doctor import FAIL, examine

    checks = examine(pipeline(options), today())
    emit(
        options,
        [asdict(item) for item in checks],
        lambda: table([(item.status, item.name, item.message) for item in checks], ("status", "check", "what")),
    )
    if failed := [item.name for item in checks if item.status == FAIL]:
        raise CheckFailed(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}; each names its fix")


def run_tidy(options: argparse.Namespace) -> None:
    report = pipeline(options).tidy(dt.datetime.now(dt.UTC), dry_run=options.dry_run)

    def human() -> None:
        runs, partitions = report["runs"], report["partitions"]
        verb = "would go" if options.dry_run else "removed"
        print(f"runs store: {runs['objects']:,} objects, {runs['bytes']:,} bytes {verb}")
        for stage, count in runs["by_stage"].items():
            print(f"  {count} of {stage}")
        for entry, reason in runs["kept"].items():
            print(f"  kept {entry}: {reason}")
        print(f"warehouse: {len(partitions)} partitions, {report['replaced_bytes']:,} bytes of replaced content {verb}")
        if partitions:
            table(
                [(item["table"], item["partition"], item["rows"]) for item in partitions],
                ("table", "partition", "rows"),
            )

    emit(options, report, human)


def run_bench(options: argparse.Namespace) -> None:
    names = benchmarks() if options.name == "all" else [options.name]
    results = {name: lab(f"bench.{name}", "lead-scoring bench").run(quick=options.quick) for name in names or ["all"]}

    def human() -> None:
        for name, figures in results.items():
            print(f"{name}:")
            pairs(figures)

    emit(options, results, human)
