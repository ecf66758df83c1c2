"""``python -m sandbox.salesforce_org --port 8091 --state state/salesforce``: run the org until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from lead_scoring.errors import LeadScoringError
from sandbox.salesforce_org.faults import SWITCHES, Faults, parse_faults
from sandbox.salesforce_org.leads import read_leads
from sandbox.salesforce_org.login import Account
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer

METADATA = Path(__file__).resolve().parents[2] / "include" / "salesforce"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.salesforce_org", description=__doc__)
    parser.add_argument("--port", type=int, default=8091, help="on 127.0.0.1; 0 takes a free one (default 8091)")
    parser.add_argument("--state", type=Path, required=True, help="folder that keeps the org")
    parser.add_argument("--leads", type=Path, help="Parquet table with lead_id: leads to add if missing")
    parser.add_argument("--faults", default="", help=f"name=number,... of {', '.join(SWITCHES)}")
    parser.add_argument("--metadata", type=Path, default=METADATA, help="deployable metadata with the custom fields")
    parser.add_argument("--certificate", type=Path, help="PEM of the connected app, for JWT logins")
    parser.add_argument("--daily-requests", type=int, default=100_000, help="API requests a day that the org allows")
    parser.add_argument("--commit-seconds", type=float, default=0.0, help="how long a job takes for 200 rows, at least")
    options = parser.parse_args(arguments)
    try:
        faults = Faults(parse_faults(options.faults))
        org = Org(options.state, read_lead_fields(options.metadata), faults, options.daily_requests)
        added = org.seed(read_leads(options.leads)) if options.leads else 0
        account = Account(certificate=options.certificate)
        server = OrgServer(org, account, options.port, options.commit_seconds)
    except (ValueError, OSError, LeadScoringError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Salesforce org on {server.url} (state in {options.state}, {added} leads added)", flush=True)
    done = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: done.set())
    server.start()
    done.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
