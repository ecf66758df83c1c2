"""Each operator makes one call into the pipeline with what the DAG gave it, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
import os
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from lead_scoring.errors import BadInput, CheckFailed
from lead_scoring.settings import load_settings
from lead_scoring.stage import Manifest
from lead_scoring_airflow.assets import LEAD_FEATURES, LEAD_SCORES, PRODUCTION_MODEL, SALESFORCE_LEADS
from lead_scoring_airflow.operators import stage as stage_module
from lead_scoring_airflow.operators.approve_release import ApproveReleaseOperator
from lead_scoring_airflow.operators.batch_score import BatchScoreOperator
from lead_scoring_airflow.operators.calibrate_model import CalibrateModelOperator
from lead_scoring_airflow.operators.hash_version import HashVersionOperator
from lead_scoring_airflow.operators.materialize_features import MaterializeFeaturesOperator
from lead_scoring_airflow.operators.plan_shards import PlanShardsOperator
from lead_scoring_airflow.operators.publish_scores import PublishScoresOperator
from lead_scoring_airflow.operators.rollback_registry import PlanRollbackOperator, RollbackRegistryOperator
from lead_scoring_airflow.operators.tidy import TidyOperator
from lead_scoring_airflow.operators.train_model import TrainModelOperator
from lead_scoring_airflow.operators.update_registry import UpdateRegistryOperator

DAY = dt.date(2024, 12, 21)
VERSION = "v1-20241221-0a1b2c3d"


def made(stage: str, counts=None, **figures) -> Manifest:
    return Manifest(stage, "20241221-00000000", "2024-12-21", {}, {}, counts or {"rows_out": 3}, figures)


class Recorder:
    """Stands where the pipeline stands; remembers the call and returns a manifest, or raises."""

    def __init__(self, error: Exception | None = None, **figures) -> None:
        self.error, self.figures, self.calls, self.counts = error, figures, [], None

    def as_of(self, text, run_day, *, of_source):
        return dt.date.fromisoformat(text) if text else run_day

    def model_card_url(self, version):
        return f"cards/{version}"

    def score_shards(self, features):
        return ["shards/score-00000.parquet"]

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            if self.error:
                raise self.error
            return made(name, self.counts, **self.figures)

        return call


class StateStore(dict):
    """What Airflow keeps of a task over its tries."""

    def set(self, key, value) -> None:
        self[key] = json.loads(json.dumps(value))


@pytest.fixture
def context():
    pushed = {}
    made_assets = (LEAD_FEATURES, PRODUCTION_MODEL, LEAD_SCORES, SALESFORCE_LEADS)
    events = {asset: SimpleNamespace(extra={}) for asset in made_assets}
    return {
        "ti": SimpleNamespace(
            try_number=1,
            max_tries=3,
            xcom_push=lambda key, value: pushed.__setitem__(key, value),
        ),
        "task_state_store": StateStore(),
        "pushed": pushed,
        "params": {"as_of": "2024-12-21", "dry_run_sync": False, "features": None},
        "dag": SimpleNamespace(params={"as_of": None, "dry_run_sync": False}),
        "dag_run": SimpleNamespace(
            dag_id="lead_scoring_release",
            run_id="manual__1",
            conf={"as_of": "2024-12-21"},
            run_type="manual",
            triggering_user_name="ann",
        ),
        "outlet_events": events,
    }


@pytest.fixture
def pipeline(monkeypatch):
    def install(**options) -> Recorder:
        recorder = Recorder(**options)
        monkeypatch.setattr(stage_module, "make_pipeline", lambda: recorder)
        monkeypatch.setattr("lead_scoring_airflow.operators.plan_shards.make_pipeline", lambda: recorder)
        return recorder

    return install


FEATURES = made("materialize_features").to_dict()


def test_materialize_features_passes_its_arguments(pipeline, context):
    recorder = pipeline()
    operator = MaterializeFeaturesOperator(
        task_id="t",
        run_day="2024-12-21",
        as_of="2024-11-30",
        feature_set="phase6",
        features="leads.parquet",
        maps="contacted_date=contacted_at, notes=",
        scorable_only="True",
    )
    result = operator.execute(context)
    name, (as_of,), options = recorder.calls[0]
    assert (name, as_of) == ("materialize_features", dt.date(2024, 11, 30))
    assert options == {
        "feature_set": "phase6",
        "features": "leads.parquet",
        "maps": {"contacted_date": "contacted_at", "notes": ""},
        "scorable_only": True,
    }
    assert result["stage"] == "materialize_features"


def test_an_empty_as_of_means_the_day_of_the_run_not_today(pipeline, context):
    recorder = pipeline()
    MaterializeFeaturesOperator(task_id="t", run_day="2024-12-21").execute(context)
    assert recorder.calls[0][1] == (DAY,)


def test_plan_shards_returns_the_shards_to_map_over(pipeline, context):
    pipeline()
    assert PlanShardsOperator(task_id="t", features=FEATURES).execute(context) == ["shards/score-00000.parquet"]


def test_train_model_passes_the_accepted_findings(pipeline, context):
    recorder = pipeline()
    TrainModelOperator(task_id="t", features=FEATURES, accept_findings="known").execute(context)
    name, (features,), options = recorder.calls[0]
    assert (name, features.stage, options) == ("train_model", "materialize_features", {"accept_findings": "known"})


def test_calibrate_model_passes_the_bucket_policy(pipeline, context):
    recorder = pipeline()
    trained = made("train_model").to_dict()
    CalibrateModelOperator(task_id="t", features=FEATURES, trained=trained, bucket_policy="capacity").execute(context)
    assert recorder.calls[0][2] == {"bucket_policy": "capacity", "accept_findings": ""}


def test_hash_version_links_to_the_model_card(pipeline, context):
    pipeline(version_id=VERSION)
    operator = HashVersionOperator(
        task_id="t",
        features=FEATURES,
        trained=made("train_model").to_dict(),
        calibrated=made("calibrate_model").to_dict(),
    )
    operator.execute(context)
    (link,) = operator.operator_extra_links
    assert link.get_link(operator, ti_key=None) == f"cards/{VERSION}"


def test_update_registry_records_the_run_and_puts_figures_on_the_asset(pipeline, context):
    recorder = pipeline(version=VERSION, status="production", performance={"test_auc_roc": 0.7})
    operator = UpdateRegistryOperator(
        task_id="t",
        packaged=made("hash_version").to_dict(),
        trained=made("train_model").to_dict(),
        calibrated=made("calibrate_model").to_dict(),
        reason="release",
        approved_by="Ann",
    )
    operator.execute(context)
    run = "lead_scoring_release/manual__1"
    assert [item.stage for item in recorder.calls[0][1]] == ["hash_version", "train_model", "calibrate_model"]
    assert recorder.calls[0][2] == {"actor": run, "reason": "release", "request": run, "approved_by": "Ann"}
    assert context["outlet_events"][PRODUCTION_MODEL].extra == {
        "as_of": "2024-12-21", "version": VERSION, "test_auc_roc": 0.7,
    }  # fmt: skip
    assert context["pushed"] == {"note": [f"[{VERSION}](cards/{VERSION})", "production"]}


def test_batch_score_scores_the_shard_it_was_mapped_to(pipeline, context):
    recorder = pipeline()
    BatchScoreOperator(task_id="t", features=FEATURES, version=VERSION, shard="shards/score-00007.parquet").execute(
        context
    )
    assert recorder.calls[0][1][1:] == (VERSION, "shards/score-00007.parquet")


def test_publish_scores_takes_all_shards_and_puts_rows_and_buckets_on_the_assets(pipeline, context):
    recorder = pipeline(buckets={"Cold": 3}, version=VERSION)
    recorder.counts = {"scored": 1234}
    scored = [made("batch_score").to_dict(), made("batch_score").to_dict()]
    PublishScoresOperator(task_id="t", features=FEATURES, scored=scored, version=VERSION).execute(context)
    assert [item.stage for item in recorder.calls[0][1][1]] == ["batch_score", "batch_score"]
    assert context["outlet_events"][LEAD_SCORES].extra["buckets"] == {"Cold": 3}
    assert context["outlet_events"][LEAD_FEATURES].extra["rows"] == 3
    assert context["pushed"] == {"note": [f"[{VERSION}](cards/{VERSION})", "1,234 leads scored"]}


def answer(option, by):
    """What Airflow hands over when a person answered, or nobody did in time."""
    person = {"id": "1", "name": by} if by else None
    return {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": dt.datetime(2024, 12, 21, tzinfo=dt.UTC),
        "responded_by_user": person,
        "timedout": person is None,
    }


SENT = dict.fromkeys(("set_aside", "exhausted", "unprocessed", "parked"), 0)
SENT |= {"leads": 4, "changed": 4, "sent": 4, "accepted": 3, "rejected": 1}


def sync_operator(monkeypatch, recorder, **options):
    """The sync with a hook that logs in nowhere."""
    from airflow.providers.salesforce.hooks import salesforce

    from lead_scoring import salesforce as room
    from lead_scoring_airflow.operators import sync_salesforce as module

    recorder.counts = SENT
    recorder.settings = load_settings(environment={})
    monkeypatch.setattr(module, "make_pipeline", lambda: recorder)
    monkeypatch.setattr(salesforce.SalesforceHook, "get_conn", lambda self: "org")
    monkeypatch.setattr(room, "lead_list_url", lambda sf, settings: f"https://{sf}/leads")
    return module.SyncSalesforceOperator(
        task_id="t", features=FEATURES, published=made("publish_scores").to_dict(), retries=3, **options
    )


PLAN = {"needs_approval": False, "bucket_changes": {"Cold > Hot": 2}, "bucket_change_share": 0.5}


def test_sync_looks_first_and_then_sends(pipeline, context, monkeypatch):
    recorder = pipeline(**PLAN)
    operator = sync_operator(monkeypatch, recorder)
    operator.execute(context)
    assert [call[2]["dry_run"] for call in recorder.calls] == [True, False]
    assert recorder.calls[-1][2] == {"dry_run": False, "approved_changes": 0, "retry_parked": False}
    assert operator.operator_extra_links[0].get_link(operator, ti_key=None) == "https://org/leads"
    assert context["outlet_events"][SALESFORCE_LEADS].extra["accepted"] == 3
    assert context["pushed"]["note"] == [
        "4 sent to [Salesforce](https://org/leads): 3 accepted, 1 rejected (sync 20241221-00000000)"
    ]


def test_only_a_person_who_clears_the_sync_sends_again_what_the_org_refused(pipeline, context, monkeypatch):
    recorder = pipeline(**PLAN)
    operator = sync_operator(monkeypatch, recorder)
    operator.execute(context)  # Airflow's own retry looks the same: it uses up the task's tries and adds none
    assert [call[2]["retry_parked"] for call in recorder.calls] == [False, False]
    context["ti"].max_tries = 5  # cleared after two tries
    operator.execute(context)
    assert [call[2]["retry_parked"] for call in recorder.calls[2:]] == [True, True]
    context["task_state_store"].set("asked", 2)
    operator.execute_complete(context, answer("Approve", "Ann"))
    assert recorder.calls[-1][2]["retry_parked"] is True


def test_a_dry_run_sends_nothing(pipeline, context, monkeypatch):
    recorder = pipeline(**PLAN, dry_run_reason="the run asked for it")
    sync_operator(monkeypatch, recorder, dry_run="True").execute(context)
    assert [call[2]["dry_run"] for call in recorder.calls] == [True]
    assert context["pushed"]["note"] == ["dry run: 4 leads would change in [Salesforce](https://org/leads)"]


def test_a_sync_that_is_refused_leaves_the_address_of_the_org_for_the_note(pipeline, context, monkeypatch):
    recorder = pipeline(error=CheckFailed("3 of 4 changed leads could not be written"))
    with pytest.raises(CheckFailed):
        sync_operator(monkeypatch, recorder).execute(context)
    assert context["pushed"]["note"] == ["[Salesforce](https://org/leads)"]


def test_a_sync_that_moves_many_leads_waits_for_a_person_and_sends_after_the_yes(pipeline, context, monkeypatch):
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    recorder = pipeline(**{**PLAN, "needs_approval": True})
    asked = []
    monkeypatch.setattr(ApprovalOperator, "execute", lambda self, context: asked.append(self.body))
    operator = sync_operator(monkeypatch, recorder)
    operator.execute(context)
    assert [call[2]["dry_run"] for call in recorder.calls] == [True]
    assert "50.0% of 4 leads" in asked[0]
    assert "- Cold > Hot: 2 leads" in asked[0]
    operator.execute_complete(context, answer("Approve", "Ann"))
    assert recorder.calls[-1][2] == {"dry_run": False, "approved_changes": 2, "retry_parked": False}


@pytest.mark.parametrize(
    ("by", "said"), [("Ann", "Ann said no to 'Many leads"), (None, "nobody answered within 12:00:00 to 'Many leads")]
)
def test_a_no_sends_nothing_and_is_one_line_in_xcom(pipeline, context, monkeypatch, by, said):
    recorder = pipeline(**PLAN)
    operator = sync_operator(monkeypatch, recorder)
    with pytest.raises(CheckFailed, match=said):
        operator.execute_complete(context, answer("Reject", by))
    assert context["pushed"]["error"].startswith(said)
    assert recorder.calls == []


def answered_before(context, option, by, *, in_try=1):
    """The person answered, and Airflow failed the try all the same."""
    event = answer(option, by)
    event["responded_at"] = event["responded_at"].isoformat()
    context["task_state_store"].set("answer_before", {"try_number": in_try, "event": event})
    context["ti"].try_number = 2


def approval(**options):
    hour = dt.timedelta(hours=1)
    return ApproveReleaseOperator(
        task_id="t", subject="Release?", body="?", require_approval="True", response_timeout=hour, retries=3, **options
    )


def test_an_answer_that_airflow_lost_is_taken_by_the_next_try_and_nobody_is_asked_twice(context):
    answered_before(context, "Approve", "Ann")
    assert approval().execute(context)["responded_by_user"]["name"] == "Ann"
    answered_before(context, "Reject", "Ann")
    with pytest.raises(CheckFailed, match="Ann said no to 'Release"):
        approval().execute(context)


def test_an_answer_to_an_earlier_question_is_not_taken_for_one_to_the_next(context, monkeypatch):
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    asked = []
    monkeypatch.setattr(ApprovalOperator, "execute", lambda self, context: asked.append(self.subject))
    answered_before(context, "Approve", "Ann")
    context["ti"].try_number = 3
    approval().execute(context)
    assert asked == ["Release?"]


def test_a_lost_yes_to_a_sync_holds_for_as_many_changes_as_were_shown_with_it(pipeline, context, monkeypatch):
    recorder = pipeline(**{**PLAN, "needs_approval": True, "bucket_changes": {"Cold > Hot": 3}})
    context["task_state_store"].set("asked", 2)
    answered_before(context, "Approve", "Ann")
    sync_operator(monkeypatch, recorder).execute(context)
    assert recorder.calls[-1][2] == {"dry_run": False, "approved_changes": 2, "retry_parked": False}


def test_a_rollback_restores_what_was_planned_and_a_retry_is_the_same_request(pipeline, context):
    recorder = pipeline(version=VERSION, performance={"test_auc_roc": 0.7})
    planned = made("plan_rollback", to=VERSION, **{"from": "v1-20241222-0a1b2c3d"})
    RollbackRegistryOperator(task_id="t", planned=planned.to_dict(), reason="worse calls", approved_by="Ann").execute(
        context
    )
    run = "lead_scoring_release/manual__1"
    assert recorder.calls[0][2] == {"actor": run, "reason": "worse calls", "request": run, "approved_by": "Ann"}
    assert context["outlet_events"][PRODUCTION_MODEL].extra["version"] == VERSION


def judged(version, **figures):
    interval = {"value": 0.7717, "low": 0.728, "high": 0.8115}
    found = {"how": "holdout", "n": 1746, "positives": 82, "auc_roc": interval, "log_loss": interval}
    hot = {"bucket": "Very Hot", "leads": 312, "share": 0.04, "rate": 0.1538}
    return {"version": version, "as_of": "2024-12-21", **found, "top_decile_lift": None, "buckets": [hot], **figures}


def test_a_planned_rollback_shows_both_models_beside_each_other(pipeline, context):
    now, before = "v1-20241222-0a1b2c3d", VERSION
    unknown = dict.fromkeys(("n", "positives", "how", "auc_roc", "log_loss"))
    pipeline(to=before, models=[judged(now), judged(before, buckets=[], **unknown)], **{"from": now})
    operator = PlanRollbackOperator(task_id="t", reason="worse *calls*")
    operator.execute(context)
    assert operator.model_card_url == f"cards/{before}"
    assert context["pushed"]["note"] == [f"from {now} back to [{before}](cards/{before})"]
    assert context["pushed"]["question"].splitlines() == [
        f"| | in production: {now} | restored: {before} |",
        "|---|---|---|",
        "| as of | 2024-12-21 | 2024-12-21 |",
        "| judged on | 1,746 leads, 82 conversions (holdout) | unknown |",
        "| AUC-ROC | 0.772 (0.728 to 0.811) | unknown |",
        "| log loss | 0.7717 (0.7280 to 0.8115) | unknown |",
        "| lift of the best tenth | unknown | unknown |",
        "| Very Hot | 4.0% of the leads, 15.4% of them convert | none |",
        "",
        "Each model was judged when it was released, on leads of its own time: a small difference says nothing.",
        "",
        "Reason: worse \\*calls\\*",
    ]


@pytest.mark.parametrize("reason", ["two\nlines", "   ", "turned \u202e round"])
def test_a_rollback_refuses_a_reason_that_would_not_be_read_as_it_is_in_its_first_task(pipeline, context, reason):
    recorder = pipeline()
    with pytest.raises(BadInput, match="reason"):
        PlanRollbackOperator(task_id="t", reason=reason).execute(context)
    assert recorder.calls == []


UNDO = {"leads": 5, "changed": 4, "left": 1, "accepted": 4, "rejected": 0}
EXAMPLE = {"lead_id": "00Q000000000001AAA", "field": "Lead_Score__c", "from": "0.0|5", "to": None}


@pytest.fixture
def undo_lines(monkeypatch):
    """A pipeline that can undo, and an org that logs in nowhere."""
    from lead_scoring_airflow.operators import undo_sync as module

    calls = []

    def sync_undo(run, salesforce, *, dry_run):
        calls.append((run, salesforce, dry_run))
        return {"counts": UNDO, "figures": {"by_field": {"Lead_Score__c": 4}, "examples": [EXAMPLE]}}

    lines = SimpleNamespace(
        calls=calls,
        sync_undo=sync_undo,
        settings=load_settings(environment={}),
        last_sync_run=lambda: "20241221-newest00",
    )
    monkeypatch.setattr(stage_module, "make_pipeline", lambda: lines)
    monkeypatch.setattr(module, "org", lambda settings: ("org", "https://org/leads"))
    return lines


@pytest.mark.parametrize(("asked", "run"), [("", "20241221-newest00"), (" 20241220-0a1b2c3d ", "20241220-0a1b2c3d")])
def test_a_planned_undo_shows_what_goes_back_and_changes_nothing(undo_lines, context, asked, run):
    from lead_scoring_airflow.operators.undo_sync import PlanUndoOperator

    planned = PlanUndoOperator(task_id="t", run=asked, reason="wrong | model").execute(context)
    assert undo_lines.calls == [(run, "org", True)]
    assert planned["key"] == run
    link = "[Salesforce](https://org/leads)"
    note = [f"undo of sync {run}", f"4 leads to go back in {link}", "1 to stay as they are"]
    assert context["pushed"]["note"] == note
    assert context["pushed"]["question"].splitlines()[2:] == [
        "Reason: wrong \\| model",
        "",
        "| field | leads |",
        "|---|---:|",
        "| Lead_Score__c | 4 |",
        "",
        "| lead | field | now | goes back to |",
        "|---|---|---|---|",
        "| 00Q000000000001AAA | Lead_Score__c | 0\\.0\\|5 | (empty) |",
    ]


def test_an_undo_takes_back_the_run_that_was_shown_also_if_a_newer_one_came_meanwhile(undo_lines, context):
    from lead_scoring_airflow.operators.undo_sync import UndoSyncOperator

    planned = made("plan_undo").to_dict() | {"key": "20241220-0a1b2c3d"}
    UndoSyncOperator(task_id="t", planned=planned).execute(context)
    assert undo_lines.calls == [("20241220-0a1b2c3d", "org", False)]
    assert context["pushed"]["note"] == ["done: 4 accepted, 0 rejected"]


def test_an_approval_nobody_asked_for_is_skipped(context):
    operator = ApproveReleaseOperator(
        task_id="t", subject="Release?", require_approval="False", response_timeout=dt.timedelta(hours=1)
    )
    with pytest.raises(AirflowSkipException):
        operator.execute(context)


@pytest.mark.parametrize(("person", "shown"), [("ann_b", "ann\\_b"), (None, "a manual run")])
def test_an_approval_that_was_asked_for_says_by_whom_and_until_when_it_waits(context, monkeypatch, person, shown):
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    asked = []
    monkeypatch.setattr(ApprovalOperator, "execute", lambda self, context: asked.append((self.subject, self.body)))
    monkeypatch.setattr("airflow.sdk.timezone.utcnow", lambda: dt.datetime(2025, 1, 10, 5, tzinfo=dt.UTC))
    context["dag_run"].triggering_user_name = person
    ApproveReleaseOperator(
        task_id="t", subject="Release?", body="It is good.", require_approval="True",
        response_timeout=dt.timedelta(hours=4),
    ).execute(context)  # fmt: skip
    assert asked == [("Release?", f"It is good.\n\nAsked for by {shown}. No answer by 2025-01-10 09:00 UTC is a no.")]


def test_a_trigger_parameter_that_the_dag_does_not_have_stops_the_run(pipeline, context):
    recorder = pipeline()
    context["dag_run"].conf = {"dry_run": True}
    with pytest.raises(BadInput, match="'dry_run' is unknown; this DAG has as_of, dry_run_sync"):
        TrainModelOperator(task_id="t", features=FEATURES).execute(context)
    assert recorder.calls == []


def test_a_text_that_is_not_one_line_stops_the_first_task_whatever_task_reads_it(pipeline, context):
    recorder = pipeline()
    context["params"]["accept_findings"] = "harmless\u2028**approved**"
    with pytest.raises(BadInput, match="accept_findings has the character U\\+2028"):
        MaterializeFeaturesOperator(task_id="t", run_day="2024-12-21").execute(context)
    assert recorder.calls == []


def test_an_error_nobody_thought_of_is_one_line_in_xcom_too(pipeline, context):
    pipeline(error=KeyError("reasons"))
    with pytest.raises(KeyError):
        TrainModelOperator(task_id="t", features=FEATURES).execute(context)
    assert context["pushed"] == {"error": "KeyError: 'reasons'; see the log"}


def test_a_refusal_is_a_line_of_its_own_in_the_log(pipeline, context, caplog):
    pipeline(error=BadInput("column 'days_in_gap' is missing"))
    with pytest.raises(BadInput):
        TrainModelOperator(task_id="t", features=FEATURES).execute(context)
    assert "column 'days_in_gap' is missing" in [record.getMessage() for record in caplog.records]


def test_a_refusal_is_one_line_in_xcom_and_fails_the_task(pipeline, context):
    pipeline(error=BadInput("column 'days_in_gap' is missing from leads.parquet; add it"))
    with pytest.raises(BadInput):
        TrainModelOperator(task_id="t", features=FEATURES).execute(context)
    assert context["pushed"] == {"error": "column 'days_in_gap' is missing from leads.parquet; add it"}


@pytest.mark.parametrize(
    ("error", "action"),
    [
        ("BadInput", "fail"),
        ("CheckFailed", "fail"),
        ("NotFound", "fail"),
        ("Transient", "default"),
        ("Conflict", "default"),
    ],
)
def test_bad_data_fails_at_once_and_a_network_fault_is_tried_again(error, action):
    from lead_scoring import errors
    from lead_scoring_airflow.defaults import RETRY_POLICY

    decision = RETRY_POLICY.evaluate(getattr(errors, error)("why"), try_number=1, max_tries=3)
    assert decision.action.value == action


def test_tidy_removes_what_has_ended_unless_it_only_looks(context, tmp_path, monkeypatch):
    for section, place in (("STORAGE__RUNS", "runs"), ("STORAGE__MODELS", "models"), ("WAREHOUSE__FOLDER", "w")):
        monkeypatch.setenv(f"LEAD_SCORING__{section}", str(tmp_path / place))
    left = tmp_path / "runs" / "train_model" / "20240101-0123456789abcdef" / "attempt" / "model.ubj"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"four")
    os.utime(left, (0, 0))
    looked = TidyOperator(task_id="t", dry_run="True").execute(context)
    assert (looked["runs"]["bytes"], left.exists()) == (4, True)
    assert TidyOperator(task_id="t", dry_run="False").execute(context)["runs"]["by_stage"] == {"train_model": 1}
    assert not left.exists()


def test_clients_come_from_the_connection_that_the_settings_name(monkeypatch):
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_SALES", "google-cloud-platform://")
    asked = []
    storage, bigquery = SimpleNamespace(bucket=lambda name: name), SimpleNamespace()
    monkeypatch.setattr(GCSHook, "get_conn", lambda self: asked.append(self.gcp_conn_id) or storage)
    monkeypatch.setattr(
        BigQueryHook, "get_client", lambda self, **where: asked.append((self.gcp_conn_id, where)) or bigquery
    )
    for name, value in {
        "STORAGE__MODELS": "gs://bucket/models", "WAREHOUSE__ENGINE": "bigquery", "WAREHOUSE__PROJECT": "p",
        "WAREHOUSE__CONN_ID": "google_cloud_sales",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LEAD_SCORING__{name}", value)
    lines = stage_module.make_pipeline()
    assert (lines.models._client, lines.warehouse.client) == (storage, bigquery)
    assert asked == ["google_cloud_sales", ("google_cloud_sales", {"project_id": "p", "location": "US"})]


def test_without_a_connection_the_login_of_the_environment_counts(monkeypatch):
    from lead_scoring.settings import load_settings

    assert stage_module.google_clients(load_settings(environment={})) == {}


REPORT = {"partitions": [{"table": "lead_scores", "partition": "2024-01-01", "rows": 3}], "replaced_bytes": 0}


@pytest.mark.parametrize(("dry_run", "verb"), [(False, "removed"), (True, "would remove")])
def test_maintenance_tells_what_it_removed(context, monkeypatch, dry_run, verb):
    from lead_scoring_airflow.operators import tidy as module

    report = {**REPORT, "runs": {"objects": 1200, "bytes": 9, "by_stage": {}}, "dry_run": dry_run}
    lines = SimpleNamespace(tidy=lambda now, dry_run: report)
    monkeypatch.setattr(module, "make_pipeline", lambda: lines)
    module.TidyOperator(task_id="t", dry_run=dry_run).execute(context)
    assert context["pushed"]["note"] == [f"{verb} 1,200 objects of the runs store, 1 partitions"]


def test_maintenance_removes_nothing_when_its_dry_run_is_misspelt(context, monkeypatch):
    from lead_scoring_airflow.operators import tidy as module

    monkeypatch.setattr(module, "make_pipeline", lambda: pytest.fail("it began"))
    context["dag_run"].conf = {"dryrun": True}
    with pytest.raises(BadInput, match="'dryrun' is unknown"):
        module.TidyOperator(task_id="t").execute(context)
