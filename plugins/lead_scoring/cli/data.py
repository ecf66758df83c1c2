"""``lead-scoring sample`` and ``lead-scoring features``: raw tables and what is made of them."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lead_scoring.cli.common import (
    add,
    add_as_of,
    add_feature_set,
    add_maps,
    as_date,
    emit,
    group,
    lab,
    maps_of,
    pairs,
    pipeline,
    private_pipeline,
    today,
    whole,
)
from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.storage.written import local_file


def add_commands(commands: Any) -> None:
    sample = add(commands, "sample", run_sample, "write synthetic raw tables as Parquet")
    sample.add_argument("--out", required=True, type=Path, metavar="DIR")
    sample.add_argument(
        "--leads", type=whole("leads", 1), default=12_000, metavar="N", help="how many leads (default: %(default)s)"
    )
    sample.add_argument("--seed", type=whole("seed"), default=7, metavar="S", help="(default: %(default)s)")
    sample.add_argument("--load", action="store_true", help="load them into the embedded warehouse as well")

    load = add(commands, "load", run_load, "load a folder of raw tables into the embedded warehouse")
    load.add_argument(
        "--source",
        required=True,
        metavar="DIR",
        help="folder or gs:// address with the three raw tables: Parquet, CSV, JSON lines, or folders of them",
    )
    add_maps(load)

    actions = group(commands, "features", "the feature table as of a date")
    build = add(actions, "build", run_build, "compute the feature table from a folder of raw tables")
    build.add_argument(
        "--source",
        required=True,
        metavar="DIR",
        help="leads, employment_history, firm_snapshots, as for `load`",
    )
    build.add_argument("--out", required=True, type=local_file, metavar="F", help="the feature table (Parquet)")
    build.add_argument("--rejects", type=local_file, metavar="R", help="rows set aside, with every reason (Parquet)")
    add_maps(build)
    add_as_of(build)
    add_feature_set(build)

    backfill = add(
        actions, "backfill", run_backfill, "materialize a range of days from the warehouse, one after another"
    )
    backfill.add_argument("--from", dest="first", required=True, metavar="D1", help="first day")
    backfill.add_argument("--to", dest="last", required=True, metavar="D2", help="last day, included")
    add_feature_set(backfill)

    audit = add(actions, "audit", run_audit, "replay: did the past value of a feature change with later knowledge")
    audit.add_argument("--source", required=True, metavar="DIR")
    audit.add_argument("--later", default="", metavar="DATE", help="the later day to compare with; empty: today")
    audit.add_argument(
        "--ignore-recorded-at", action="store_true", help="show what would leak if recorded_at were not honoured"
    )
    add_maps(audit)
    add_as_of(audit)
    add_feature_set(audit)


def run_sample(options: argparse.Namespace) -> None:
    made = lab("sample", "lead-scoring sample").write_sample(options.out, leads=options.leads, seed=options.seed)
    rows = dict(made.counts)
    if options.load:
        pipeline(options).load_source(options.out)
    data = {"synthetic": True, "folder": str(options.out), "rows": rows, "loaded": options.load}

    def human() -> None:
        print(f"SYNTHETIC data in {options.out}{', loaded into the warehouse' if options.load else ''}:")
        pairs(rows)

    emit(options, data, human)


def run_load(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    if lines.settings.warehouse.engine != "duckdb":
        raise BadInput(
            f"warehouse.engine is {lines.settings.warehouse.engine!r}; `load` is for the embedded warehouse, "
            "elsewhere load the tables with the warehouse's own tools"
        )
    rows = lines.load_source(options.source, maps=maps_of(options))
    emit(options, rows, lambda: pairs(rows))


def run_build(options: argparse.Namespace) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lead_scoring.storage.written import replacing

    with private_pipeline(options) as lines:
        lines.load_source(options.source, maps=maps_of(options))
        made = lines.materialize_features(
            lines.as_of(options.as_of, today(), of_source=True), feature_set=options.feature_set
        )
        shards = made.fetch_all(lines.runs, "shards/")
        if not shards:
            raise BadInput(f"folder {options.source} gives no feature rows as of {made.as_of}; choose a later --as-of")
        with replacing([options.out, options.rejects] if options.rejects else [options.out]) as private:
            pq.write_table(pa.concat_tables([pq.read_table(path) for path in shards]), private[0])
            if options.rejects:
                shutil.copyfile(made.fetch(lines.runs, "rejected.parquet"), private[1])
    data = {"as_of": made.as_of, "key": made.key, "out": str(options.out), **made.counts, **made.figures}
    data["maps"] = maps_of(options)
    emit(options, data, lambda: pairs(data))


def run_backfill(options: argparse.Namespace) -> None:
    lines = pipeline(options)
    first = lines.as_of(as_date(options.first, "--from"), today())
    last = lines.as_of(as_date(options.last, "--to"), today())
    if first > last:
        raise BadInput(f"--from {first} lies after --to {last}; swap them")
    made = []
    for offset in range((last - first).days + 1):
        done = lines.materialize_features(first + dt.timedelta(days=offset), feature_set=options.feature_set)
        lines.publish_features(done)
        made.append({"as_of": done.as_of, "key": done.key, **done.counts})
        if not options.json:
            rows, aside = done.counts["rows_out"], done.counts["rows_rejected"]
            print(f"{done.as_of}  {done.key}  {rows:,} rows, {aside:,} set aside", flush=True)
    emit(options, made, lambda: print(f"{len(made)} days materialized"))


def run_audit(options: argparse.Namespace) -> None:
    from lead_scoring.features import audit

    with private_pipeline(options) as lines:
        lines.load_source(options.source, maps=maps_of(options))
        made = audit(
            lines.warehouse,
            as_of=lines.as_of(options.as_of, today(), of_source=True),
            later=lines.as_of(options.later, today()),
            feature_set=lines.feature_set(options.feature_set),
            settings=lines.settings.features,
            sql_folder=lines.settings.sql_folder,
            honour_recorded_at=not options.ignore_recorded_at,
            published=pipeline(options).warehouse,
        )
    moved = {name: count for name, count in made.figures["moved"].items() if count}
    emit(options, {"moved": moved, **made.counts, **made.figures}, lambda: pairs({**made.counts, **moved}))
    if moved:
        names = ", ".join(f"{name} ({count:,} leads)" for name, count in moved.items())
        raise CheckFailed(f"past values moved with later knowledge: {names}; give every source row a true recorded_at")
    if made.counts["backdated_rows"]:
        raise CheckFailed(_backdated(made.figures["published"], made.figures["as_of"]))


def _backdated(found: Mapping[str, Any], as_of: str) -> str:
    named = [f"{name} ({rows:,} rows)" for name, rows in found["backdated"].items()]
    named += [f"labels ({found['labels']:,} rows)"] if found["labels"] else []
    leads = list(dict.fromkeys(item["lead_id"] for items in found["examples"].values() for item in items))[:5]
    return (
        f"the features published as of {as_of} are not what the source says that it knew then: {', '.join(named)}; "
        f"records of these leads were back-dated or changed in place{': ' + ', '.join(leads) if leads else ''}; give a "
        "record that came later its own recorded_at"
    )
