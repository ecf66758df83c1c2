"""No value of a connection is left in a log, an XCom, a note or the state of a sync."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import BadInput
from lead_scoring.stage import FileRef, Manifest, sha256_file
from lead_scoring_airflow.operators import sync_salesforce as module
from sandbox.salesforce_org.login import Account
from tests.salesforce.conftest import DAY, Desk, score_rows

CANARY = "hunter2-canary"
LOGINS = {
    "password": {"login": "me", "password": CANARY, "extra": {"security_token": CANARY}},
    "client credentials": {
        "extra": {"consumer_key": CANARY, "consumer_secret": CANARY, "domain": "acme.my"},
    },
    "private key": {"login": "me", "extra": {"consumer_key": CANARY, "private_key": CANARY}},
    "private key file": {"login": "me", "extra": {"consumer_key": CANARY, "private_key_file_path": f"/{CANARY}"}},
    "half of one": {"login": "me", "extra": {"consumer_secret": CANARY}},
}
RIGHT = {"login": "integration@sandbox.example", "password": "sandbox", "extra": {"security_token": "sandbox"}}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, leads=4)
    yield made
    made.server.stop()


def run(desk: Desk, login: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The task against an org, with this connection. Returns what it pushed."""
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", json.dumps({"conn_type": "salesforce", **login}))
    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import load_settings

    overrides = {
        "salesforce.endpoint": desk.server.url,
        "salesforce.wait_seconds": 0.01,
        "storage.runs": str(desk.folder / "runs"),
        "storage.models": str(desk.folder / "models"),
        "warehouse.folder": str(desk.folder / "warehouse"),
    }
    pipeline = Pipeline(load_settings(environment={}, overrides=overrides))
    monkeypatch.setattr(module, "make_pipeline", lambda: pipeline)
    path = desk.folder / "scores.parquet"
    pq.write_table(score_rows(dict.fromkeys(desk.ids, 0.2)), path)
    pipeline.runs.upload(path, "scores/part-0.parquet")
    file = FileRef("scores/part-0.parquet", sha256_file(path), path.stat().st_size)
    published = Manifest(
        "publish_scores", "20241221-aaaaaaaa", DAY.isoformat(), {}, {"scores/part-0.parquet": file}, {}, {}
    )
    features = Manifest("materialize_features", "20241221-bbbbbbbb", DAY.isoformat(), {}, {}, {}, {"has_ids": True})
    pushed: dict[str, Any] = {}
    context: dict[str, Any] = {
        "ti": SimpleNamespace(try_number=1, max_tries=0, xcom_push=lambda key, value: pushed.update({key: value})),
        "task_state_store": SimpleNamespace(get=lambda key: None, set=lambda key, value: None),
        "params": {},
        "dag": SimpleNamespace(params={}),
        "dag_run": SimpleNamespace(dag_id="d", run_id="r", conf={}, run_type="manual", triggering_user_name="ann"),
        "outlet_events": {module.SALESFORCE_LEADS: SimpleNamespace(extra={})},
    }
    operator = module.SyncSalesforceOperator(task_id="t", features=features.to_dict(), published=published.to_dict())
    try:
        pushed["result"] = operator.execute(context)  # type: ignore[arg-type]
    finally:
        pushed["fields"] = {name: getattr(operator, name) for name in operator.template_fields}
    return pushed


@pytest.mark.parametrize("kind", LOGINS)
def test_a_login_that_is_refused_leaves_no_secret_behind(
    desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadInput) as refused:
        run(desk, LOGINS[kind], monkeypatch)
    assert CANARY not in str(refused.value)
    assert CANARY not in caplog.text
    assert refused.value.__cause__ is None, "Airflow prints the cause's text as well"
    assert refused.value.__suppress_context__


def test_a_login_that_works_is_nowhere_in_what_a_sync_leaves(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.server.account = Account(password=CANARY, security_token=CANARY)
    pushed = run(desk, {**RIGHT, "password": CANARY, "extra": {"security_token": CANARY}}, monkeypatch)
    assert pushed["result"]["counts"]["accepted"] == len(desk.ids)
    assert CANARY not in json.dumps(pushed, default=str) + caplog.text
    left = [path for path in desk.folder.rglob("*") if path.is_file() and "org" not in path.parts]
    assert left
    assert not [path for path in left if CANARY.encode() in path.read_bytes()]
