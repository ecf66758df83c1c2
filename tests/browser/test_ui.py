"""Every button that a person presses, pressed in a browser, on the stack of ``make up``."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time

import pytest
from playwright.sync_api import expect, sync_playwright

from sandbox import stack
from sandbox.airflow_client import AirflowClient
from tests.browser.airflow_ui import AirflowUI, browser_path, submit
from tests.laptop import AS_OF, standing_laptop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

RELEASE, DAILY, ROLLBACK = "lead_scoring_release", "lead_scoring_daily", "lead_scoring_rollback"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    with standing_laptop(tmp_path_factory.mktemp("laptop")) as standing:
        yield standing


@pytest.fixture(scope="module")
def client(laptop):
    client = AirflowClient(laptop.airflow, stack.api(laptop))
    for dag_id in (RELEASE, DAILY, ROLLBACK):
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
    for dag_id, ready in ((RELEASE, True), (DAILY, True), (ROLLBACK, False)):
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
    for task_id in ("", task):
        ui.open_run(RELEASE, run_id, task_id)
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
