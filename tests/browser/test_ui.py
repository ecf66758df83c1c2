"""Every button that a person presses, pressed in a browser, on the stack of ``make up``."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time

import psutil
import pytest
from playwright.sync_api import expect, sync_playwright

from sandbox import stack
from sandbox.airflow_client import AirflowClient
from tests.browser.airflow_ui import AirflowUI, browser_path, submit
from tests.laptop import AS_OF, standing_laptop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

RELEASE, DAILY = "lead_scoring_release", "lead_scoring_daily"
ROLLBACK, UNDO = "lead_scoring_rollback", "lead_scoring_undo"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    with standing_laptop(tmp_path_factory.mktemp("laptop")) as standing:
        yield standing


@pytest.fixture(scope="module")
def client(laptop):
    client = AirflowClient(laptop.airflow, stack.api(laptop))
    for dag_id in (RELEASE, DAILY, ROLLBACK, UNDO):
        client.wait_for_dag(dag_id)
    return client


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


expect.set_options(timeout=30_000)  # the pages poll, and the machine of a test run is busy


@pytest.fixture
def ui(chromium, laptop, client):
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(30_000)
    yield AirflowUI(page, laptop.airflow)
    page.close()


def ended(client: AirflowClient, dag_id: str, run_id: str) -> str:
    return client.watch(dag_id, run_id, lambda task: None, seconds=900)


@pytest.fixture(scope="module")
def released(chromium, laptop, client):
    """A release from the form as it opens: nothing typed, Trigger pressed."""
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    run_id = AirflowUI(page, laptop.airflow).trigger(RELEASE, picture="release_form_untouched")
    page.close()
    assert ended(client, RELEASE, run_id) == "success", list(client.errors(RELEASE, run_id))
    return run_id


def test_a_release_starts_from_the_form_untouched(released, client):
    assert client.xcom(RELEASE, released, "update_registry")["figures"]["version"].startswith("v1-")


def test_the_form_of_every_dag_says_what_it_needs(ui, client):
    for dag_id, ready in ((RELEASE, True), (DAILY, True), (ROLLBACK, False), (UNDO, True)):
        dialog = ui.form(dag_id)
        (expect(submit(dialog)).to_be_enabled if ready else expect(submit(dialog)).to_be_disabled)()
        ui.picture(f"form_{dag_id}")


def test_the_form_offers_the_sets_and_policies_that_there_are(ui, client):
    dialog = ui.form(RELEASE)
    dialog.locator("div:has(> [name=element_bucket_policy])").last.click()
    assert ui.page.get_by_role("option").all_inner_texts() == ["lift", "absolute", "capacity"]


def test_a_release_takes_each_param_from_the_form(ui, client):
    values = {
        "as_of": AS_OF,
        "bucket_policy": "absolute",
        "accept_findings": "the buckets of the sample are known",
        "require_approval": True,
        "dry_run_sync": True,
    }
    run_id = ui.trigger(RELEASE, values, picture="release_form_filled")
    conf = client.request("GET", f"/dags/{RELEASE}/dagRuns/{run_id}")["conf"]
    assert {name: conf[name] for name in values} == values
    client.request("PATCH", f"/dags/{RELEASE}/dagRuns/{run_id}", json={"state": "failed"})


def test_the_run_says_in_one_line_what_it_did_and_leads_to_the_card_and_the_org(ui, released, client, laptop):
    ui.open_run(RELEASE, released)
    made, synced = (client.xcom(RELEASE, released, task) for task in ("update_registry", "sync_salesforce"))
    version, counts = made["figures"]["version"], synced["counts"]
    note = ui.page.get_by_text(f"as of {AS_OF}")
    expect(note).to_contain_text(f"{version}, production, {counts['leads']:,} leads scored, {counts['sent']:,} sent to")
    ui.picture("run_released")
    for name, address in ((version, laptop.cards), ("Salesforce", laptop.org)):
        link = note.get_by_role("link", name=name).get_attribute("href")
        assert link.startswith(address)
        ui.page.context.request.get(link)
    card = ui.page.context.request.get(note.get_by_role("link", name=version).get_attribute("href"))
    assert card.ok
    assert version in card.text()


def reason_shown(ui: AirflowUI, run_id: str, task: str, reason: str, picture: str) -> None:
    """The reason stands in the header of the run and of its red task."""
    dag_id = ROLLBACK if "rollback" in task else RELEASE
    for task_id in ("", task):
        ui.open_run(dag_id, run_id, task_id)
        expect(ui.page.get_by_text(reason).first).to_be_visible()
        ui.picture(f"{picture}_{'task' if task_id else 'run'}")


def test_a_day_in_the_future_stops_the_first_task_and_says_so_where_a_person_looks_first(ui, client):
    run_id = ui.trigger(RELEASE, {"as_of": "2031-01-01"})
    assert ended(client, RELEASE, run_id) == "failed"
    ((task, message),) = client.errors(RELEASE, run_id)
    assert task == "materialize_features"
    assert message.startswith("as_of is 2031-01-01, after ")
    reason_shown(ui, run_id, task, message, "refused")


def test_a_task_that_is_killed_says_so_where_a_person_looks_first(ui, client):
    run_id = client.trigger(RELEASE, {"as_of": "2024-12-20"})
    last_try(run_id, "materialize_features")

    def kill(task) -> None:
        if (task.task_id, task.state) == ("materialize_features", "running"):
            found = client.request("GET", f"/dags/{RELEASE}/dagRuns/{run_id}/taskInstances/{task.task_id}")
            os.kill(found["pid"], signal.SIGKILL)

    assert client.watch(RELEASE, run_id, kill, seconds=300) == "failed"
    reason_shown(ui, run_id, "materialize_features", "its process ended without a word: killed", "killed")


@pytest.mark.parametrize(
    ("dag_id", "name", "value", "says"),
    [
        (RELEASE, "features", "leads\u200b.parquet", "does not match"),
        (RELEASE, "accept_findings", "known \u202e gnorw", "does not match"),
        (ROLLBACK, "reason", "why", "is too short"),
        (ROLLBACK, "reason", "turned \u202e round", "does not match"),
        (UNDO, "run", "20241221\u200b-0a1b2c3d", "does not match"),
    ],
)
def test_a_wrong_text_is_refused_by_the_form_and_named(ui, client, dag_id, name, value, says):
    before = client.request("GET", f"/dags/{dag_id}/dagRuns")["total_entries"]
    said = ui.refused(dag_id, {name: value}, f"refused_{dag_id}_{name}")
    assert said.splitlines()[0].startswith(f"Invalid input for param {name}: ")
    assert says in said
    assert client.request("GET", f"/dags/{dag_id}/dagRuns")["total_entries"] == before


def test_a_backfill_of_two_days_sends_nothing_and_switching_the_daily_on_runs_the_missed_morning(ui, released, client):
    ui.backfill(DAILY, "2024/12/20 00:00", "2024/12/22 00:00", picture="backfill_form")
    found = {run["run_type"]: [] for run in runs_of(client, DAILY, 3)}
    for run in runs_of(client, DAILY, 3):
        assert ended(client, DAILY, run["dag_run_id"]) == "success", list(client.errors(DAILY, run["dag_run_id"]))
        note = client.request("GET", f"/dags/{DAILY}/dagRuns/{run['dag_run_id']}")["note"]
        found[run["run_type"]].append(note)
        ui.open_run(DAILY, run["dag_run_id"])
        expect(ui.page.get_by_text(f"{note[:16]}").first).to_be_visible()
        ui.picture(f"daily_{run['run_type']}")
    assert [note[:16] for note in sorted(found["backfill"])] == ["as of 2024-12-19", "as of 2024-12-20"]
    assert all("dry run: " in note for note in found["backfill"])
    (morning,) = found["scheduled"]
    assert " sent to [Salesforce]" in morning


def runs_of(client: AirflowClient, dag_id: str, count: int) -> list[dict]:
    for _ in range(600):
        found = client.request("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        if len(found) == count:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{dag_id} has {len(found)} runs, not {count}")


def test_an_undo_shows_what_would_go_back_and_does_it_after_a_yes(ui, released, client):
    looked = ui.trigger(UNDO, picture="undo_form")
    assert ended(client, UNDO, looked) == "success"
    planned = client.xcom(UNDO, looked, "plan_undo")
    ui.open_run(UNDO, looked)
    expect(ui.page.get_by_text(f"undo of sync {planned['key']}")).to_be_visible()
    ui.picture("undo_dry_run")
    run_id = ui.trigger(UNDO, {"dry_run": False, "reason": "the wrong model"})
    waiting(client, UNDO, run_id, "approve_undo")
    shown = ui.answer(UNDO, run_id, "approve_undo", "Approve", picture="undo_asked")
    changed = f"{planned['counts']['changed']:,}"
    for text in ("Reason: the wrong model", f"Lead_Score__c\t{changed}", "goes back to", "Asked for by", "UTC is a no"):
        assert text in shown
    assert ended(client, UNDO, run_id) == "success", list(client.errors(UNDO, run_id))
    assert f"done: {changed} accepted, 0 rejected" in client.request("GET", f"/dags/{UNDO}/dagRuns/{run_id}")["note"]


def waiting(client: AirflowClient, dag_id: str, run_id: str, task_id: str) -> None:
    """Until the task waits for a person."""
    for _ in range(1800):
        found = client.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")["state"]
        if found == "awaiting_input":
            return
        assert found not in ("failed", "upstream_failed"), list(client.errors(dag_id, run_id))
        time.sleep(0.1)
    raise TimeoutError(f"{task_id} of {run_id} is {found} and asks nobody")


@pytest.fixture
def newer_champion(released, laptop, tmp_path):
    """Another version in production, so that there is one to go back to."""
    from lab.bench._races import register_small
    from lead_scoring.pipeline import Pipeline
    from lead_scoring.settings import load_settings

    registry = Pipeline(load_settings()).registry
    before = registry.champion()
    version = register_small(str(stack.models_folder()), tmp_path, 1)
    registry.promote(version, "for a rollback", "test")
    yield registry, version, before
    if registry.champion() == version:
        registry.rollback("a test that failed", "test")


def test_a_rollback_ends_with_a_no_and_goes_on_with_one_yes_also_if_airflow_loses_it(ui, newer_champion, client):
    registry, version, before = newer_champion
    run_id = ui.trigger(ROLLBACK, {"reason": "fewer calls"}, picture="rollback_form")
    waiting(client, ROLLBACK, run_id, "approve_rollback")
    shown = ui.answer(ROLLBACK, run_id, "approve_rollback", "Reject", picture="rollback_asked")
    for text in (f"in production: {version}", f"restored: {before}", "log loss", "Very Hot", "Reason: fewer calls"):
        assert text in shown
    assert ended(client, ROLLBACK, run_id) == "failed"
    reason_shown(ui, run_id, "approve_rollback", f"said no to 'Replace {version} by {before}?'", "rejected")
    assert registry.champion() == version
    clear = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["approve_rollback"], "include_downstream": True}
    client.request("POST", f"/dags/{ROLLBACK}/clearTaskInstances", json={**clear, "only_failed": False})
    asked = asked_at(client, run_id)
    with late_end(run_id, "approve_rollback"):
        assert asked_at(client, run_id) > asked  # anew, with the figures and the deadline of now
        ui.answer(ROLLBACK, run_id, "approve_rollback", "Approve", picture="rollback_asked_again")
    assert ended(client, ROLLBACK, run_id) == "success", list(client.errors(ROLLBACK, run_id))
    assert registry.champion() == before
    assert registry.history()[-1]["reason"].startswith("fewer calls, approved by ")


def asked_at(client: AirflowClient, run_id: str) -> str:
    path = f"/dags/{ROLLBACK}/dagRuns/{run_id}/taskInstances/approve_rollback/-1/hitlDetails"
    return client.request("GET", path)["created_at"]


@contextlib.contextmanager
def late_end(run_id: str, task_id: str):
    """Hold the process that watches over a task from the moment the task waits for a person until it goes on.

    Airflow then takes its end for a failure of the task that goes on, and starts another try, in most cases: it depends
    on the moment. With or without the loss one answer is enough.
    """
    sql = "SELECT state, pid FROM task_instance WHERE run_id = ? AND task_id = ?"
    database = stack.state_folder() / "airflow" / "airflow.db"
    watcher, deadline = 0, time.monotonic() + 120
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:

        def now() -> tuple[str, int]:
            assert time.monotonic() < deadline
            return connection.execute(sql, (run_id, task_id)).fetchone()

        while (found := now())[0] != "awaiting_input" or not watcher:
            if found[0] == "running":
                watcher = psutil.Process(found[1]).ppid()
            time.sleep(0.001)
        os.kill(watcher, signal.SIGSTOP)
        try:
            yield
            while now()[0] not in ("queued", "running"):
                time.sleep(0.01)
        finally:
            os.kill(watcher, signal.SIGCONT)


def test_the_asset_graph_leads_to_salesforce(ui, client):
    found = {asset["name"]: asset["id"] for asset in client.request("GET", "/assets")["assets"]}
    ui.go(f"/assets/{found['lead_scores']}")
    ui.page.get_by_text("Task Dependencies").click()
    ui.page.get_by_role("button", name="Fit View").click()
    for edge in ("publish_scores to asset:", "__SEPARATOR__sync_salesforce"):  # a task out of sight is not drawn
        expect(ui.page.locator(f'[aria-label*="{edge}"]').first).to_be_attached()
    ui.picture("assets")


def last_try(run_id: str, task_id: str) -> None:
    """Leave a task no retry, which a test would have to wait for."""
    database = stack.state_folder() / "airflow" / "airflow.db"
    for _ in range(100):
        with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            sql = "UPDATE task_instance SET max_tries = 0 WHERE run_id = ? AND task_id = ?"
            if connection.execute(sql, (run_id, task_id)).rowcount:
                return
        time.sleep(0.1)
    raise TimeoutError(f"task {task_id} of run {run_id} is not in {database}")
