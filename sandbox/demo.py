"""``make demo``: the main job, end to end, on parts that run on this machine.

Writes synthetic leads, starts Airflow and a Salesforce org on loopback, triggers ``lead_scoring_release`` through the
REST API, shows every task as it runs, and prints what came out. What it started it stops again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from lead_scoring.errors import LeadScoringError
from sandbox import stack as laptop
from sandbox.airflow_client import AirflowClient, TaskState
from sandbox.summary import print_summary

DAG_ID = "lead_scoring_release"
SHOWN = {"queued": "", "scheduled": "", "none": ""}  # states that tell a person nothing


def prepare(features: str) -> None:
    """Synthetic raw tables into the embedded warehouse, unless a ready feature table is brought.

    :raises StackError: the warehouse has tables that are not synthetic; they stay as they are.
    """
    from lab.sample import write_sample
    from lead_scoring.errors import BadInput
    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import load_settings

    if features:
        print(f"Feature table: {features} (the data are yours; the Salesforce org beside it is a stand-in)")
        return
    sample = laptop.state_folder() / "sample"
    write_sample(sample)
    lines = Pipeline(load_settings())
    try:
        rows = lines.load_source(sample)
    except BadInput as error:
        own = "to score your own tables: `make up`, then trigger lead_scoring_release (docs/own-data.md)"
        raise laptop.StackError(f"{error}; {own}") from error
    counted = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    print(f"The data are SYNTHETIC: {counted}, in {laptop.state_folder() / 'warehouse'}")


def _absolute(features: str) -> str:
    """A path for tasks that run elsewhere; an address and the name of a warehouse table are left as they are."""
    path = Path(features)
    return str(path.absolute()) if features and "://" not in features and path.exists() else features


def show(started: float) -> Any:
    def line(task: TaskState) -> None:
        if task.state not in SHOWN:
            took = f" in {task.seconds:.1f} s" if task.seconds and task.state in ("success", "failed") else ""
            print(f"  {time.monotonic() - started:6.1f} s  {task.name:<44} {task.state}{took}", flush=True)

    return line


def run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    os.environ.update(laptop.environment("http://127.0.0.1:0", "", ""))
    prepare(options.features)
    with_ids = [Path(options.features)] if _has_ids(options.features) else []
    as_of = _as_of(options)
    standing = laptop.running()
    kept = standing is not None and standing.keep
    print("Starting Airflow and the Salesforce org on loopback ...", flush=True)
    stack = laptop.up()
    try:
        print(f"  ready after {time.monotonic() - began:.0f} s: {stack.airflow}", flush=True)
        laptop.give_leads(stack, with_ids)
        client = AirflowClient(stack.airflow, laptop.api(stack))
        client.wait_for_dag(DAG_ID)
        if not kept:
            for left in client.end_active_runs(DAG_ID):
                print(f"  ended {left}, which a killed demo left behind", flush=True)
        run_id = client.trigger(
            DAG_ID,
            {
                "as_of": as_of,
                "features": _absolute(options.features),
                "accept_findings": options.accept_findings,
            },
        )
        print(f"Triggered {DAG_ID} as of {as_of} (run {run_id})", flush=True)
        state = client.watch(DAG_ID, run_id, show(time.monotonic()))
        if state != "success":
            for task, message in client.errors(DAG_ID, run_id):
                print(f"\n{task} failed: {message}", file=sys.stderr)
            print("Nothing half was published. After the mend, run `make demo` again.", file=sys.stderr)
            print("`make clean` starts over: it forgets this laptop's data and models.", file=sys.stderr)
            return 1
        print_summary(client, DAG_ID, run_id, models=laptop.models_folder(), org=stack.org)
    finally:
        if not kept:
            laptop.down()
    print(f"\nDone in {time.monotonic() - began:.0f} s.", end=" ")
    if kept:
        print("The stack is still up:")
        print(f"  the run {stack.airflow}/dags/{DAG_ID}/runs/{quote(run_id)}")
        print(f"  the leads, best first {stack.org}")
        print(f"  the model cards {stack.cards}/models/production/")
    else:
        print("Everything that was started is stopped.")
        print("To click through it: `make up` prints the addresses of the run, of the leads and of the model card.")
    return 0


def _has_ids(features: str) -> bool:
    """Whether a feature table is brought that names its leads, so that the org can be given them."""
    if not features:
        return False
    from lead_scoring.tables import open_table

    return "lead_id" in open_table(features).names


def _as_of(options: argparse.Namespace) -> str:
    """The day that an empty as-of date means in the form as well."""
    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import load_settings

    today = dt.datetime.now(dt.UTC).date()
    return Pipeline(load_settings()).as_of(options.as_of, today, of_source=not options.features).isoformat()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--features", default="", help="a ready feature table (Parquet) instead of synthetic leads")
    parser.add_argument("--as-of", default="", help="the day to look from; empty: the sample's last, or yesterday")
    parser.add_argument("--accept-findings", default="", help="why findings of the release checks are accepted")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` stops the stack
    try:
        return run(options)
    except (laptop.StackError, LeadScoringError, TimeoutError, requests.RequestException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
