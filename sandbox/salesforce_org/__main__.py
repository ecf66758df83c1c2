"""``python -m sandbox.salesforce_org --port 8091 --state state/salesforce``: run the org until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sandbox.salesforce_org.faults import SWITCHES, Faults, parse_faults
from sandbox.salesforce_org.login import Account
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer
from sandbox.salesforce_org.values import RowError, record_id

METADATA = Path(__file__).resolve().parents[2] / "include" / "salesforce"


def read_leads(path: Path) -> list[dict[str, Any]]:
    """Leads to start with, from a Parquet table with ``lead_id`` and, where it has them, company and source.

    Rows whose ``lead_id`` is not a record id are left out: no org can hold them, and the scoring sets them aside too.

    :raises ValueError: there is no ``lead_id`` column.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if "lead_id" not in table.column_names:
        raise ValueError(f"{path} has no column lead_id; it has {table.column_names}")
    known = {
        "lead_id": "Id",
        "company": "Company",
        "lead_source": "LeadSource",
        "advisor_crd": "FA_CRD__c",
    }
    table = table.select([name for name in known if name in table.column_names])
    leads = table.rename_columns([known[name] for name in table.column_names]).to_pylist()
    return [
        {name: str(value) for name, value in lead.items() if value is not None}
        for lead in leads
        if _is_record_id(lead["Id"])
    ]


def _is_record_id(value: object) -> bool:
    try:
        record_id(str(value))
    except RowError:
        return False
    return True


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
    except (ValueError, OSError) as error:
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
