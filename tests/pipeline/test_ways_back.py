"""The way back that the error of a red task names works: each is done here as the error says."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.cli import main
from lead_scoring.errors import CheckFailed
from lead_scoring.lead_ids import complete_id
from lead_scoring.pipeline import CHAMPION, Pipeline
from lead_scoring.salesforce import connect
from lead_scoring.settings import load_settings
from lead_scoring.stage import Manifest
from sandbox.salesforce_org.faults import Faults
from sandbox.salesforce_org.org import Org
from sandbox.salesforce_org.schema import read_lead_fields
from sandbox.salesforce_org.server import OrgServer
from tests.scoring.small_package import NAMES, build_package, write_registry

HOME = Path(__file__).resolve().parents[2]
DAY = dt.date(2024, 12, 21)
LEADS = 60


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``models/`` with an archived version and a champion. Copied, never written to."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        write_registry(folder, build_package(folder / "production", seed=seed))
    return folder


class Laptop:
    """The pipeline over a ready table of leads, and the org that takes their scores."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.models = Path(shutil.copytree(models, folder / "models"))
        self.faults = Faults()
        self.org = Org(folder / "org", read_lead_fields(HOME / "include" / "salesforce"), self.faults)
        self.server = OrgServer(self.org).start()
        self.lines = Pipeline(
            load_settings(
                overrides={
                    "storage.models": str(self.models),
                    "storage.runs": str(folder / "runs"),
                    "warehouse.folder": str(folder / "warehouse"),
                    "salesforce.endpoint": self.server.url,
                    "salesforce.wait_seconds": 0.001,
                    "salesforce.max_bucket_change_share": 1.0,
                    "buckets.max_share_in_one": 1.0,
                }
            )
        )
        ids = [complete_id(f"00Q5e{number:010d}") for number in range(LEADS)]
        self.org.seed({"Id": one, "Company": "Company"} for one in ids)
        columns: dict[str, Any] = {
            "lead_id": ids,
            "pit_date": pa.array([DAY - dt.timedelta(days=9)] * LEADS, pa.date32()),
        }
        for place, name in enumerate(NAMES):
            columns[name] = [float((number * (place + 3)) % (2 if "tier" in name else 19)) for number in range(LEADS)]
        for other in NAMES[-2:]:  # a lead is of one tier
            columns[other] = [0.0] * LEADS
        self.table = folder / "leads.parquet"
        pq.write_table(pa.table(columns), self.table)

    def materialize(self, as_of: dt.date = DAY) -> Manifest:
        return self.lines.materialize_features(as_of, features=str(self.table), feature_set=CHAMPION)

    def publish(self, features: Manifest) -> Manifest:
        version = str(features.inputs["version"])
        scored = [self.lines.batch_score(features, version, name) for name in self.lines.score_shards(features)]
        return self.lines.publish_scores(features, scored, version)

    def sync(self, features: Manifest, published: Manifest, **options: Any) -> Manifest:
        return self.lines.sync_salesforce(features, published, connect(self.lines.settings.salesforce), **options)

    def scored_in_org(self) -> int:
        return sum(lead["Lead_Score__c"] is not None for lead in self.org.leads())


@pytest.fixture
def laptop(tmp_path: Path, two_versions: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path, two_versions)
    yield made
    made.server.stop()


def refused_run(laptop: Laptop) -> tuple[Manifest, Manifest]:
    """A run of the day that a validation rule of the org made red; the rule is mended since."""
    features = laptop.materialize()
    published = laptop.publish(features)
    laptop.faults.set({"reject_rows": 0.3, "seed": 1})
    with pytest.raises(CheckFailed, match="remove the reason in the org or the data, then clear the task .*next day's"):
        laptop.sync(features, published)
    assert 0 < laptop.scored_in_org() < LEADS
    laptop.faults.clear()
    return features, published


def test_after_the_rule_is_mended_clearing_the_task_sends_what_was_refused(laptop: Laptop) -> None:
    features, published = refused_run(laptop)
    laptop.sync(features, published, retry_parked=True)  # what the operator does when the task was cleared
    assert laptop.scored_in_org() == LEADS


def test_after_the_rule_is_mended_the_next_morning_sends_what_was_refused_and_the_red_run_can_be_cleared(
    laptop: Laptop,
) -> None:
    features, published = refused_run(laptop)
    tomorrow = laptop.materialize(DAY + dt.timedelta(days=1))
    sent = laptop.sync(tomorrow, laptop.publish(tomorrow))
    assert laptop.scored_in_org() == LEADS
    assert (sent.counts["parked"], sent.counts["rejected"]) == (0, 0)
    before = laptop.org.history()
    cleared = laptop.sync(features, published, retry_parked=True)
    assert cleared.figures["dry_run_reason"] == "the org has the scores of 2024-12-22, a later day"
    assert not cleared.figures["needs_approval"]
    assert laptop.org.history() == before


def test_after_a_champion_is_damaged_another_version_and_clearing_from_the_first_task_go_through(
    laptop: Laptop,
) -> None:
    features = laptop.materialize()
    damaged = str(features.inputs["version"])
    booster = laptop.models / "production" / f"model_{damaged}.ubj"
    booster.write_bytes(booster.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckFailed, match="promote V --reason WHY`.* and clear the red run from its first task"):
        laptop.publish(features)
    (other,) = (item["version_id"] for item in laptop.lines.registry.entries() if item["version_id"] != damaged)
    assert main(["registry", "promote", other, "--reason", "mend", "--models", str(laptop.models)]) == 0
    cleared = laptop.materialize()
    published = laptop.publish(cleared)
    assert cleared.inputs["version"] == other
    assert laptop.sync(cleared, published).counts["accepted"] == LEADS


def test_a_rollback_that_has_nowhere_to_go_names_the_command_that_brings_a_version_back(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--models", str(laptop.models)]
    undone = laptop.lines.registry.champion()
    rollback = ["registry", "rollback", "--reason", "worse", *models]
    assert main(rollback) == 0
    capsys.readouterr()
    assert main(rollback) == 2
    said = capsys.readouterr().err
    named = re.search("`lead-scoring (.*) --reason WHY`", said)
    assert named is not None
    assert f"{undone} was in production and rolled back" in said
    assert main([*named[1].split(), "--reason", "it was not that", *models]) == 0
    assert Pipeline(laptop.lines.settings).champion() == undone
