"""The main job on a real scheduler: four Airflow processes, a Salesforce org over HTTP, a warehouse of files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from lead_scoring.warehouse.embedded import EmbeddedWarehouse
from sandbox import stack
from sandbox.airflow_client import AirflowClient
from sandbox.call_list import best_leads
from tests.laptop import AS_OF, standing_laptop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

RELEASE, DAILY = "lead_scoring_release", "lead_scoring_daily"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    """The stack of `make up`, in a temporary folder, with the sample data loaded."""
    with standing_laptop(tmp_path_factory.mktemp("laptop")) as standing:
        yield standing


@pytest.fixture(scope="module")
def client(laptop):
    client = AirflowClient(laptop.airflow, stack.api(laptop))
    client.wait_for_dag(RELEASE)
    client.wait_for_dag(DAILY)
    client.request("PATCH", f"/dags/{DAILY}", json={"is_paused": False})
    return client


def run(client: AirflowClient, dag_id: str, **conf) -> tuple[str, str]:
    run_id = client.trigger(dag_id, {"as_of": AS_OF, **conf})
    return run_id, client.watch(dag_id, run_id, lambda task: None, seconds=1500)


@pytest.fixture(scope="module")
def released(client):
    run_id, state = run(client, RELEASE)
    assert state == "success", list(client.errors(RELEASE, run_id))
    return run_id


def test_every_task_ran_and_the_approval_nobody_asked_for_was_skipped(client, released):
    states = {task.task_id: task.state for task in client.tasks(RELEASE, released)}
    assert states.pop("approve_release") == "skipped"
    assert set(states.values()) == {"success"}
    assert len(states) == 9


def test_the_documents_files_are_there_under_its_names(laptop, client, released):
    version = client.xcom(RELEASE, released, "update_registry")["figures"]["version"]
    assert re.fullmatch(r"v1-20241221-[0-9a-f]{8}", version)
    expected = [
        "calibrated/calibrated_model.pkl",
        "calibrated/calibration_metadata.json",
        "calibrated/calibration_lookup_table.csv",
        "calibrated/calibration_curves.png",
        f"production/model_{version}.pkl",
        f"production/model_{version}.ubj",
        f"production/feature_names_{version}.json",
        f"production/calibration_lookup_{version}.csv",
        f"production/model_card_{version}.md",
        f"production/manifest_{version}.json",
        "production/cloud_function_code.py",
        "registry/registry.json",
    ]
    assert [name for name in expected if not (stack.models_folder() / name).is_file()] == []
    lookup = (stack.models_folder() / "calibrated/calibration_lookup_table.csv").read_text().splitlines()
    assert len(lookup) == 101


def test_the_registry_has_exactly_one_production_version(laptop, released):
    text = (stack.models_folder() / "registry/registry.json").read_text()
    registry = json.loads(text)
    entries = registry if isinstance(registry, list) else registry["models"]
    assert [entry["status"] for entry in entries].count("production") == 1
    assert "\\\\" not in text
    assert {"version_id", "status", "performance", "calibration"} <= set(entries[0])


def test_scores_are_in_salesforce_and_every_row_is_accounted_for(laptop, client, released):
    published = client.xcom(RELEASE, released, "publish_scores")["counts"]
    synced = client.xcom(RELEASE, released, "sync_salesforce")["counts"]
    assert published["scored"] > 1000
    assert synced["accepted"] + synced["rejected"] + synced["unprocessed"] == synced["sent"]
    assert synced["accepted"] > 0
    assert "Hot</td>" in requests.get(laptop.org, timeout=10).text


def test_a_second_release_of_the_same_day_changes_nothing(client, released):
    run_id, state = run(client, RELEASE)
    assert state == "success", list(client.errors(RELEASE, run_id))
    first = client.xcom(RELEASE, released, "update_registry")["figures"]
    second = client.xcom(RELEASE, run_id, "update_registry")["figures"]
    assert second["version"] == first["version"] == second["previous_champion"]
    assert client.xcom(RELEASE, run_id, "sync_salesforce")["counts"]["sent_now"] == 0


def test_the_daily_run_scores_with_the_champion(client, released):
    run_id, state = run(client, DAILY)
    assert state == "success", list(client.errors(DAILY, run_id))
    version = client.xcom(RELEASE, released, "update_registry")["figures"]["version"]
    assert client.xcom(DAILY, run_id, "materialize_features")["inputs"]["version"] == version


def test_a_feature_table_without_a_column_stops_at_the_first_task_with_one_line(client, released, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "features.parquet"
    pq.write_table(pa.table({"days_in_gap": [1.0, 2.0], "target": [0, 1]}), path)
    run_id, state = run(client, RELEASE, features=str(path))
    assert state == "failed"
    states = {task.task_id: task.state for task in client.tasks(RELEASE, run_id)}
    assert states["materialize_features"] == "failed"
    assert states["train_model"] == "upstream_failed"
    ((task, message),) = client.errors(RELEASE, run_id)
    assert task == "materialize_features"
    assert "\n" not in message
    assert "features.parquet" in message


def test_the_form_refuses_a_wrong_value_before_anything_runs(client):
    with pytest.raises(requests.HTTPError, match="bucket_policy"):
        client.trigger(RELEASE, {"bucket_policy": "deciles"})


def test_the_assets_carry_rows_version_and_figures(client, released):
    events = client.request("GET", "/assets/events", params={"limit": 100})["asset_events"]
    extras = {event["name"]: event["extra"] for event in events if event["source_run_id"] == released}
    assert extras["lead_features"]["rows"] > 0
    assert extras["production_model"]["version"].startswith("v1-20241221-")
    assert 0.5 < extras["production_model"]["test_auc_roc"] < 1
    assert sum(extras["lead_scores"]["buckets"].values()) > 0


def test_the_links_on_the_tasks_lead_to_pages_that_answer(client, released):
    for task, name in (("hash_version", "Model card"), ("sync_salesforce", "Salesforce")):
        path = f"/dags/{RELEASE}/dagRuns/{released}/taskInstances/{task}/links"
        address = client.request("GET", path, params={"map_index": -1})["extra_links"][name]
        assert requests.get(address, timeout=10).ok, address


def test_the_package_scores_one_lead_as_in_the_document(laptop, client, released):
    production = stack.models_folder() / "production"
    (names,) = production.glob("feature_names_*.json")
    code = (
        "from inference_pipeline import LeadScorer\n"
        "import json\n"
        f"scorer = LeadScorer(model_dir={str(production)!r}, bucket_policy='absolute')\n"
        f"print(json.dumps(scorer.score_lead(dict.fromkeys({json.loads(names.read_text())!r}, 1.0))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"lead_score", "score_bucket", "action_recommended", "model_version", "uncalibrated_score"} <= set(result)
    assert 0.0 < result["lead_score"] < 1.0


def test_the_call_list_of_the_org_is_that_of_the_scores(laptop, released):
    leads = best_leads(laptop.org)
    rows = EmbeddedWarehouse(stack.state_folder() / "warehouse").query(
        "SELECT lead_id, score_bucket FROM lead_scores ORDER BY as_of DESC, rank LIMIT 10"
    )
    assert [(lead["Id"], lead["Lead_Score_Bucket__c"]) for lead in leads] == [
        (row["lead_id"], row["score_bucket"]) for row in rows.to_pylist()
    ]
