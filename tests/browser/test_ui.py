"""Every button that a person presses, pressed in a browser, on the stack of ``make up``."""

from __future__ import annotations

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


def test_a_day_in_the_future_stops_the_first_task_with_one_line_in_its_log(ui, client):
    run_id = ui.trigger(RELEASE, {"as_of": "2031-01-01"})
    assert ended(client, RELEASE, run_id) == "failed"
    ((task, message),) = client.errors(RELEASE, run_id)
    assert task == "materialize_features"
    assert message.startswith("as_of is 2031-01-01, after ")
