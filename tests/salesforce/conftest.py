from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.lead_ids import complete_id
from lead_scoring.salesforce import connect, ledger
from lead_scoring.salesforce.sync import SyncRequest, sync
from lead_scoring.salesforce.undo import undo
from lead_scoring.settings import SalesforceSettings, load_settings
from lead_scoring.stage import StageOutput
from lead_scoring.storage.local import LocalStore
from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer

HOME = Path(__file__).resolve().parents[2]
DAY = dt.date(2024, 12, 21)


def lead_id(number: int) -> str:
    return complete_id(f"00Q5e{number:010d}")


def score_rows(
    scores: dict[str | None, float], as_of: dt.date = DAY, version: str = "v1-20241221-0badcafe"
) -> pa.Table:
    """A table like ``lead_scores``, with what follows from each score."""

    def bucket(score: float) -> str:
        return "Very Hot" if score >= 0.7 else "Hot" if score >= 0.5 else "Warm" if score >= 0.3 else "Cold"

    actions = {"Very Hot": "Call immediately", "Hot": "Prioritize in next outreach cycle"}
    buckets = [bucket(score) for score in scores.values()]
    return pa.table({
        "lead_id": pa.array(list(scores), pa.string()),
        "as_of": pa.array([as_of] * len(scores), pa.date32()),
        "lead_score": pa.array(list(scores.values()), pa.float64()),
        "score_bucket": buckets,
        "action_recommended": [actions.get(name, "Low priority") for name in buckets],
        "model_version": [version] * len(scores),
        "percentile": pa.array([100 * score for score in scores.values()], pa.float64()),
        "expires_on": pa.array([as_of + dt.timedelta(days=7)] * len(scores), pa.date32()),
    })


class Desk:
    """One laptop: an org, a warehouse, a store, and the sync between them."""

    def __init__(self, folder: Path, leads: int, home: Path = HOME) -> None:
        self.config_folder = home / "include" / "config"
        self.folder = folder
        self.faults = Faults()
        self.org = Org(folder / "org", read_lead_fields(home / "include" / "salesforce"), self.faults)
        self.ids = [lead_id(number) for number in range(leads)]
        self.org.seed({"Id": one, "Company": "Company"} for one in self.ids)
        self.server = OrgServer(self.org).start()
        self.settings: SalesforceSettings = dataclasses.replace(
            load_settings(HOME, environment={}).salesforce,
            endpoint=self.server.url,
            wait_seconds=0.001,
            max_bucket_change_share=1.0,
        )
        self.warehouse = EmbeddedWarehouse(folder / "warehouse")
        self.state = LocalStore(folder / "state")
        self.tries = 0

    def arguments(self) -> dict[str, Any]:
        self.tries += 1
        work = self.folder / f"work-{self.tries}"
        work.mkdir()
        return {
            "warehouse": self.warehouse,
            "state": self.state,
            "settings": self.settings,
            "config_folder": self.config_folder,
            "work": work,
        }

    def sync(self, table: pa.Table, run_key: str = "20241221-aaaaaaaa", **options: Any) -> StageOutput:
        arguments = self.arguments()
        path = arguments["work"] / "scores.parquet"
        pq.write_table(table, path)
        as_of = table["as_of"][0].as_py() if table.num_rows else DAY
        sf = options.pop("sf", None) or connect(self.settings)
        return sync(sf, scores=[path], as_of=as_of, run_key=run_key, asked=SyncRequest(**options), **arguments)

    def undo(self, run_key: str = "20241221-aaaaaaaa", **options: Any) -> StageOutput:
        return undo(connect(self.settings), run_key=run_key, **self.arguments(), **options)

    def scores_in_org(self) -> dict[str, float | None]:
        return {lead["Id"]: lead["Lead_Score__c"] for lead in self.org.leads()}

    def writes(self) -> list[tuple[str, float | None]]:
        """Lead and score of every write that the org committed, in order."""
        return [
            (entry["lead_id"], entry["changes"]["Lead_Score__c"][1])
            for entry in self.org.history()
            if "Lead_Score__c" in entry["changes"]
        ]

    def ledger(self, run_key: str = "20241221-aaaaaaaa") -> list[dict[str, Any]]:
        rows = ledger.query(self.warehouse, HOME / "include" / "sql", "salesforce_sync_log", run_key=run_key)
        assert rows is not None
        found: list[dict[str, Any]] = rows.to_pylist()
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, leads=12)
    yield made
    made.server.stop()
