"""What on-call engineers and the UI rely on in every DAG."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest

ROOT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))

RELEASE = [
    "materialize_features", "train_model", "calibrate_model", "hash_version", "approve_release", "update_registry",
    "batch_score", "publish_scores", "sync_salesforce",
]  # fmt: skip
DAILY = ["materialize_features", "batch_score", "publish_scores", "sync_salesforce"]


def in_order(dag, names):
    return all(
        later in dag.get_task(earlier).get_flat_relative_ids(upstream=False)
        for earlier, later in zip(names, names[1:], strict=False)
    )


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_a_dag_file_imports_without_warnings_and_without_heavy_packages(path):
    heavy = ["xgboost", "sklearn", "duckdb", "pandas", "google.cloud", "matplotlib", "simple_salesforce"]
    code = (
        "import runpy, sys; before = set(sys.modules); import airflow.sdk; airflow = set(sys.modules);"
        f"runpy.run_path({str(path)!r});"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - airflow])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("[]"), done.stdout


def test_airflows_plugin_scan_leaves_the_library_alone():
    """Every Airflow process imports what the scan finds, so the scan must not find the library."""
    code = (
        "import sys; from airflow import plugins_manager;"
        "plugins_manager.ensure_plugins_loaded();"
        "print([name for name in sys.modules if name.startswith(('lead_scoring', 'xgboost', 'inference_pipeline'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_release_chains_the_stages_in_order(dags):
    assert in_order(dags["lead_scoring_release"], RELEASE)


def test_the_daily_run_chains_the_stages_in_order(dags):
    assert in_order(dags["lead_scoring_daily"], DAILY)
    schedule = dags["lead_scoring_daily"].schedule
    assert (schedule.expression, str(schedule.timezone)) == ("0 5 * * *", "UTC")


def test_every_dag_has_tags_docs_and_one_run_at_a_time(dags):
    for dag in dags.values():
        assert "lead-scoring" in dag.tags
        assert any(tag.startswith("impact/") for tag in dag.tags), dag.dag_id
        assert any(tag.startswith("triage/") for tag in dag.tags), dag.dag_id
        assert len(dag.doc_md or "") > 100, dag.dag_id
        assert dag.max_active_runs == 1
        assert dag.catchup is False


def test_every_task_has_an_owner_docs_retries_and_a_retry_policy(dags):
    for dag in dags.values():
        for task in dag.tasks:
            assert task.owner == "lead-scoring", task
            assert task.doc_md, task
            assert task.retries >= 1, task
            assert task.retry_exponential_backoff, task
            assert getattr(task, "retry_policy", None) or task.partial_kwargs["retry_policy"], task


def test_the_form_names_every_param_and_refuses_wrong_values(dags):
    from airflow.sdk.exceptions import ParamValidationError

    params = dags["lead_scoring_release"].params
    assert set(params) == {
        "as_of", "feature_set", "features", "maps", "bucket_policy", "accept_findings", "require_approval",
        "dry_run_sync",
    }  # fmt: skip
    wrong = {
        "as_of": "yesterday",
        "feature_set": "phase7",
        "features": 7,
        "maps": 7,
        "bucket_policy": "deciles",
        "accept_findings": True,
        "require_approval": "maybe",
        "dry_run_sync": 1,
    }
    for name, value in wrong.items():
        with pytest.raises(ParamValidationError):
            params.get_param(name).resolve(value)
    assert params.get_param("as_of").resolve("2024-12-21") == "2024-12-21"


def test_no_param_of_any_form_has_an_empty_text_for_default(dags):
    """The form takes it for a required field that nobody filled in: its Trigger button stays grey."""
    for dag in dags.values():
        assert [name for name, value in dag.params.items() if not isinstance(value, bool) and value == ""] == []


@pytest.mark.parametrize("asked", [None, ""])
def test_an_empty_text_reaches_the_operators_as_empty_and_not_as_the_word_none(dags, asked):
    release = dags["lead_scoring_release"]
    fields = [("materialize_features", "features"), ("materialize_features", "maps")]
    fields += [(task, "accept_findings") for task in ("train_model", "calibrate_model", "hash_version")]
    for task, name in fields:
        template = jinja2.Template(getattr(release.get_task(task), name))
        assert template.render(params=SimpleNamespace(features=asked, accept_findings=asked)) == "", (task, name)


def test_the_tasks_that_make_an_asset_say_so(dags):
    release = dags["lead_scoring_release"]
    made = {task.task_id: [asset.name for asset in task.outlets] for task in release.tasks if task.outlets}
    assert made == {
        "update_registry": ["production_model"],
        "publish_scores": ["lead_features", "lead_scores"],
        "sync_salesforce": ["salesforce_leads"],
    }


def test_the_asset_graph_leads_from_the_source_tables_to_salesforce(dags):
    for dag_id in ("lead_scoring_release", "lead_scoring_daily"):
        read = {task.task_id: [asset.name for asset in task.inlets] for task in dags[dag_id].tasks if task.inlets}
        assert read == {
            "materialize_features": ["leads", "employment_history", "firm_snapshots"],
            "batch_score": ["production_model"],
            "sync_salesforce": ["lead_scores"],
        }


def test_a_run_that_is_nearly_done_ends_before_another_begins(dags):
    tasks = dags["lead_scoring_daily"].tasks
    assert {task.weight_rule for task in tasks} == {"absolute"}
    weights = {task.task_id: task.priority_weight for task in tasks}
    assert sorted(weights, key=lambda task: -weights[task])[:2] == ["sync_salesforce", "publish_scores"]
    assert set(weights.values()) == {1, 5, 10}


@pytest.mark.parametrize("text", ["two\nlines", "turned \u202e round", "x" * 501])
def test_the_form_refuses_a_reason_that_is_not_one_printable_line(dags, text):
    from airflow.sdk.exceptions import ParamValidationError

    for dag_id, name in (
        ("lead_scoring_release", "accept_findings"),
        ("lead_scoring_rollback", "reason"),
        ("lead_scoring_undo", "reason"),
    ):
        with pytest.raises(ParamValidationError):
            dags[dag_id].params.get_param(name).resolve(text)


def test_scoring_and_sync_have_pools_of_their_own(dags):
    from sandbox.stack import POOLS

    for dag_id in ("lead_scoring_release", "lead_scoring_daily"):
        assert dags[dag_id].get_task("batch_score").partial_kwargs["pool"] == "scoring"
        assert dags[dag_id].get_task("sync_salesforce").pool == "salesforce"
    assert set(POOLS) == {"scoring", "salesforce"}
    assert POOLS["salesforce"] == 1


def test_a_rollback_asks_a_person_and_needs_a_reason(dags):
    from airflow.sdk.exceptions import ParamValidationError

    rollback = dags["lead_scoring_rollback"]
    assert in_order(rollback, ["plan_rollback", "approve_rollback", "rollback_registry"])
    assert rollback.params["require_approval"] is True
    for reason in (None, "", "why"):
        with pytest.raises(ParamValidationError):
            rollback.params.get_param("reason").resolve(reason)


def test_an_undo_is_a_dry_run_unless_a_person_says_otherwise_and_then_asks_another(dags):
    undo = dags["lead_scoring_undo"]
    assert in_order(undo, ["plan_undo", "approve_undo", "undo_sync"])
    assert {name: undo.params[name] for name in undo.params} == {"run": None, "dry_run": True, "reason": None}
    asks = jinja2.Template(undo.get_task("approve_undo").require_approval)
    assert [asks.render(params=SimpleNamespace(dry_run=dry)) for dry in (True, False)] == ["False", "True"]
    assert undo.get_task("undo_sync").trigger_rule == "all_success"  # not asked, it is skipped with the approval
    assert undo.get_task("undo_sync").pool == "salesforce"


def test_links_lead_from_the_tasks_to_the_model_card_and_to_salesforce(dags):
    links = {
        task.task_id: [link.name for link in task.operator_extra_links]
        for task in dags["lead_scoring_release"].tasks
        if getattr(task, "operator_extra_links", ())
    }
    assert links == {
        "hash_version": ["Model card"],
        "update_registry": ["Model card"],
        "publish_scores": ["Model card"],
        "sync_salesforce": ["Salesforce"],
    }


@pytest.mark.parametrize(
    ("run_type", "asked", "as_of", "run_day"),
    [
        ("scheduled", None, "", "2025-01-10"),  # the library takes the day before: it is complete
        ("backfill", None, "2025-01-09", "2025-01-10"),  # also where the laptop has a day of its own
        ("backfill", "2024-12-21", "2024-12-21", "2025-01-10"),
        ("manual", None, "", "2025-01-11"),
        ("manual", "2024-12-21", "2024-12-21", "2025-01-11"),
    ],
)
def test_what_day_a_run_looks_from(run_type, asked, as_of, run_day):
    from lead_scoring_airflow.defaults import AS_OF, RUN_DAY

    context = {
        "params": SimpleNamespace(as_of=asked),
        "logical_date": None if run_type == "manual" else dt.datetime(2025, 1, 10, 5, tzinfo=dt.UTC),
        "dag_run": SimpleNamespace(run_type=run_type, run_after=dt.datetime(2025, 1, 11, 5, tzinfo=dt.UTC)),
        "macros": dt,
    }
    assert jinja2.Template(AS_OF).render(context) == as_of
    assert jinja2.Template(RUN_DAY).render(context) == run_day


@pytest.mark.parametrize(
    ("run_type", "asked", "dry"),
    [("scheduled", False, "False"), ("manual", False, "False"), ("manual", True, "True"), ("backfill", False, "True")],
)
def test_a_backfill_sends_nothing(run_type, asked, dry):
    from lead_scoring_airflow.defaults import DRY_RUN

    context = {"params": SimpleNamespace(dry_run_sync=asked), "dag_run": SimpleNamespace(run_type=run_type)}
    assert jinja2.Template(DRY_RUN).render(context) == dry


@pytest.mark.parametrize("intervals", ["True", "False"])
def test_the_morning_does_not_depend_on_how_the_deployment_counts_intervals(intervals):
    code = "from lead_scoring_daily import dag; print(type(dag.timetable).__name__)"
    environment = {**os.environ, "AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS": intervals}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "dags", env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "CronTriggerTimetable"


def test_who_approves_sees_rounded_figures_or_that_there_are_none():
    from lead_scoring_airflow.defaults import figures_of

    found = {
        "test_auc_roc": 0.70021, "test_auc_pr": None, "top_decile_lift": 3.0286, "baseline_rate": 0.042,
        "top_decile_rate": 0.1272,
    }  # fmt: skip
    task = SimpleNamespace(xcom_pull=lambda task_id: {"figures": {"performance": found}})
    text = jinja2.Template(figures_of("hash_version")).render(ti=task)
    assert text.splitlines() == [
        "- AUC-ROC 0.700",
        "- AUC-PR unknown",
        "- The best tenth converts at 12.7 %, 3.0 times the rate of all, 4.2 %",
    ]


@pytest.mark.parametrize(
    ("accepted", "subject"), [(True, "Release v1?"), (False, "Against the gate: release v1?")]
)  # fmt: skip
def test_who_approves_a_release_sees_what_the_gate_says(dags, accepted, subject):
    task = dags["lead_scoring_release"].get_task("approve_release")
    gate = {"accepted": accepted, "reasons": ["the reason"]}
    performance = {"test_auc_roc": 0.7, "test_auc_pr": 0.1, "top_decile_rate": None}
    figures = {"version_id": "v1", "gate": gate, "performance": performance}
    ti = SimpleNamespace(xcom_pull=lambda task_id: {"figures": figures})
    assert jinja2.Template(task.subject).render(ti=ti) == subject
    body = jinja2.Template(task.body).render(ti=ti)
    assert "- Gate: the reason" in body
    assert ("overrules the gate" in body) is not accepted


@pytest.mark.parametrize(
    ("answer", "name"), [(None, ""), ({"responded_by_user": None}, ""), ({"responded_by_user": {"name": "Ann"}}, "Ann")]
)
def test_the_registry_learns_who_approved(dags, answer, name):
    for dag_id, task_id in (
        ("lead_scoring_release", "update_registry"),
        ("lead_scoring_rollback", "rollback_registry"),
    ):
        template = dags[dag_id].get_task(task_id).approved_by
        assert jinja2.Template(template).render(ti=SimpleNamespace(xcom_pull=lambda task_id: answer)) == name


def test_maintenance_runs_weekly_and_can_be_only_a_look(dags):
    dag = dags["lead_scoring_maintenance"]
    assert dag.schedule.expression == "0 12 * * 0"
    assert dag.params["dry_run"] is False
    assert jinja2.Template(dag.get_task("tidy").dry_run).render(params=SimpleNamespace(dry_run=True)) == "True"


def test_the_owner_of_every_dag_leads_to_the_address_of_the_settings(monkeypatch):
    import importlib

    from airflow.sdk import DAG

    from lead_scoring_airflow import defaults

    assert defaults.OWNER_LINKS == {}
    monkeypatch.setenv("LEAD_SCORING__ONCALL__OWNER_ADDRESS", "mailto:oncall@example.com")
    try:
        links = importlib.reload(defaults).OWNER_LINKS
        assert DAG("linked", schedule=None, owner_links=links, default_args=defaults.DEFAULT_ARGS).owner_links == links
        assert links == {defaults.OWNER: "mailto:oncall@example.com"}
    finally:
        monkeypatch.undo()
        importlib.reload(defaults)
    for path in sorted((ROOT / "dags").glob("*.py")):
        assert "owner_links=OWNER_LINKS" in path.read_text(), path.name
