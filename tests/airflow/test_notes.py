"""What stands in the notes of a run and of its red tasks, whoever ended them."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from types import SimpleNamespace

import pytest

from lead_scoring.errors import BadInput
from lead_scoring_airflow import notes

DAG = "lead_scoring_release"
NOON = dt.datetime(2025, 1, 10, 12, tzinfo=dt.UTC)


def minutes(count: int) -> dt.datetime:
    return NOON + dt.timedelta(minutes=count)


class Database:
    """Airflow's own tables in memory, with a run of one's own."""

    def __init__(self, session) -> None:
        from airflow.models.dagrun import DagRun

        self.session = session
        self.run = DagRun(
            dag_id=DAG, run_id=f"manual__{uuid.uuid4()}", run_type="manual", run_after=NOON, state="failed"
        )
        session.add(self.run)
        session.flush()

    def task(self, task_id: str, state: str, *, started: dt.datetime | None = NOON, map_index: int = -1):
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import insert

        row = {
            "id": uuid.uuid4(), "task_id": task_id, "dag_id": DAG, "run_id": self.run.run_id, "map_index": map_index,
            "state": state, "start_date": started, "end_date": started and started + dt.timedelta(minutes=1),
            "pool": "default_pool", "pool_slots": 1, "try_number": 1, "max_tries": 0,
        }  # fmt: skip
        self.session.execute(insert(TaskInstance).values(**row))
        return self.session.get(TaskInstance, row["id"])

    def xcom(self, task_id: str, key: str, value, *, at: dt.datetime = NOON, map_index: int = -1) -> None:
        from airflow.models.xcom import XComModel

        self.session.add(
            XComModel(
                dag_run_id=self.run.id, task_id=task_id, map_index=map_index, key=key, dag_id=DAG,
                run_id=self.run.run_id, value=value, timestamp=at,
            )
        )  # fmt: skip
        self.session.flush()

    def end(self) -> str:
        """The run ends as in the scheduler, which forbids every commit but its own."""
        from airflow.utils.sqlalchemy import prohibit_commit

        from run_notes import RunNotes

        with prohibit_commit(self.session) as guard:
            RunNotes().on_dag_run_failed(self.run)
            guard.commit()
        self.session.expire_all()
        return self.run.note


@pytest.fixture(scope="module")
def engine():
    from airflow import models
    from airflow.models.base import Base
    from sqlalchemy import create_engine

    models.import_all_models()  # each defines its table

    made = create_engine("sqlite://")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def database(engine):
    from sqlalchemy.orm import Session

    with Session(engine, autoflush=False) as session:  # as Airflow's own
        yield Database(session)


def test_the_note_of_a_run_has_in_one_line_what_its_tasks_told(database):
    database.task("materialize_features", "success")
    database.task("publish_scores", "success")
    card = "[v1-20241221-0a1b2c3d](http://cards/v1)"
    database.xcom("publish_scores", "note", [card, "1,234 leads scored"], at=minutes(2))
    database.xcom("update_registry", "note", [card, "production"], at=minutes(1))
    database.xcom("materialize_features", "note", ["as of 2024-12-21"])
    assert database.end() == f"as of 2024-12-21, {card}, production, 1,234 leads scored"


def test_a_refusal_stands_in_the_note_of_its_task_and_before_all_else_in_that_of_the_run(database):
    ti = database.task("sync_salesforce", "failed")
    database.task("materialize_features", "success")
    database.xcom("sync_salesforce", "error", "column lead_score is missing; deploy it", at=minutes(1))
    database.xcom("materialize_features", "note", ["as of 2024-12-21"])
    assert database.end() == (
        "**sync_salesforce** is red: column lead\\_score is missing; deploy it\n\nas of 2024-12-21"
    )
    assert ti.note == "column lead\\_score is missing; deploy it"


def test_a_task_that_was_killed_gets_a_note_though_it_told_nothing(database):
    ti = database.task("train_model", "failed")
    database.task("calibrate_model", "upstream_failed", started=None)
    assert database.end() == f"**train_model** is red: {notes.KILLED}"
    assert ti.note == notes.KILLED


def test_a_task_that_was_killed_in_its_second_try_does_not_show_the_error_of_its_first(database):
    ti = database.task("train_model", "failed", started=minutes(5))
    database.xcom("train_model", "error", "the service did not answer", at=minutes(1))
    database.end()
    assert ti.note == notes.KILLED


def test_a_task_that_never_started_says_so(database):
    ti = database.task("batch_score", "failed", started=None)
    database.end()
    assert ti.note == notes.NOT_STARTED


def test_a_task_that_a_person_failed_is_not_called_killed_but_is_when_it_is_killed_later(database):
    from airflow.sdk import timezone

    from run_notes import RunNotes

    ti = database.task("train_model", "failed")
    RunNotes().on_task_instance_failed(ti, "TaskInstance's state was manually set to `failed`.")
    database.end()
    assert ti.note == notes.BY_PERSON
    ti.start_date = timezone.utcnow() + dt.timedelta(minutes=1)  # cleared: it begins anew
    database.end()
    assert ti.note == notes.KILLED


def test_a_task_that_is_green_again_loses_our_note_and_keeps_what_a_person_wrote(database):
    ours, theirs = database.task("train_model", "failed"), database.task("hash_version", "failed")
    theirs.note = ("Ann looks at it", "ann")
    database.session.flush()
    database.end()
    assert theirs.note == f"Ann looks at it{notes.OURS_BELOW}{notes.KILLED}"
    ours.state = theirs.state = "success"
    database.end()
    assert (ours.task_instance_note, theirs.note) == (None, "Ann looks at it")


def test_a_run_that_ends_again_replaces_our_note_and_keeps_what_a_person_wrote(database):
    database.task("train_model", "failed")
    database.run.note = ("For the meeting", "ann")
    database.session.flush()
    database.end()
    database.xcom("train_model", "error", "no leads", at=minutes(1))
    assert database.end() == f"For the meeting{notes.OURS_BELOW}**train_model** is red: no leads"


def test_a_note_of_many_long_errors_fits_and_counts_the_rest(database):
    for shard in range(7):
        database.task("batch_score", "failed", map_index=shard)
        database.xcom("batch_score", "error", "too long " * 200, at=minutes(1), map_index=shard)
    note = database.end()
    assert len(note) <= notes.MAX_NOTE
    assert note.startswith("**batch_score [0]** is red: too long ")
    assert note.endswith("5 more tasks are red")


def test_a_run_of_another_project_is_left_alone(database):
    from run_notes import RunNotes

    database.run.dag_id = "somebody_elses"
    RunNotes().on_dag_run_success(database.run)
    assert database.run.note is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BadInput("column x is missing"), "column x is missing"),
        (KeyError("reasons"), "KeyError: 'reasons'; see the log"),
        (TimeoutError(), "TimeoutError: ; see the log"),
    ],
)
def test_every_error_of_a_task_is_told_also_one_outside_its_execute(error, told):
    from run_notes import RunNotes

    pushed = {}
    ti = SimpleNamespace(dag_id=DAG, xcom_push=lambda key, value: pushed.__setitem__(key, value))
    RunNotes().on_task_instance_failed(ti, error)
    assert pushed == {"error": told}


def test_airflow_finds_the_plugin():
    from airflow.plugins_manager import get_plugin_info

    assert "lead_scoring_run_notes" in [plugin["name"] for plugin in get_plugin_info(["name"])]


def test_every_dag_is_one_whose_notes_are_kept(dags):
    from run_notes import DAG_PREFIX

    assert [dag_id for dag_id in dags if not dag_id.startswith(DAG_PREFIX)] == []


ANSWER = {"id": "1", "name": "Ann"}


@pytest.mark.parametrize("answered", [True, False])
def test_the_scheduler_keeps_an_answer_when_it_fails_the_try_that_asked(database, answered):
    from airflow.models.hitl import HITLDetail
    from airflow.models.task_state_store import TaskStateStoreModel
    from sqlalchemy import select

    from run_notes import RunNotes

    ti = database.task("approve_release", "up_for_retry")
    detail = HITLDetail(ti_id=ti.id, options=["Approve", "Reject"], subject="Release?", params={}, params_input={})
    if answered:
        detail.responded_at, detail.responded_by, detail.chosen_options = NOON, ANSWER, ["Approve"]
    database.session.add(detail)
    database.session.flush()
    RunNotes().on_task_instance_failed(ti, "Executor reported that the task instance finished, but its state is queued")
    query = select(TaskStateStoreModel).filter_by(run_id=database.run.run_id, task_id="approve_release")
    kept = {row.key: json.loads(row.value) for row in database.session.scalars(query)}
    event = {
        "chosen_options": ["Approve"], "params_input": {}, "responded_at": NOON.isoformat(),
        "responded_by_user": ANSWER, "timedout": False,
    }  # fmt: skip
    assert kept == ({"answer_before": {"try_number": 1, "event": event}} if answered else {})


def test_a_cleared_task_asks_its_question_anew_and_not_the_one_of_before(database):
    from airflow.models.hitl import HITLDetail
    from sqlalchemy import select

    from run_notes import RunNotes

    for state in (None, "awaiting_input"):
        ti = database.task(f"asks_{state}", state)
        question = {"subject": str(state), "options": ["Approve"], "params": {}, "params_input": {}}
        database.session.add(HITLDetail(ti_id=ti.id, **question))
    database.session.flush()
    RunNotes().on_dag_run_running(database.run)
    database.session.expire_all()
    assert database.session.scalars(select(HITLDetail.subject)).all() == ["awaiting_input"]


def test_a_run_that_begins_again_says_no_more_how_it_ended_before(database):
    from run_notes import RunNotes

    cleared, red = database.task("train_model", "failed"), database.task("batch_score", "failed")
    cleared.note = ("Ann looks at it", "ann")
    database.session.flush()
    database.end()
    cleared.state = None
    database.session.flush()
    RunNotes().on_dag_run_running(database.run)
    database.session.expire_all()
    assert (cleared.note, red.note, database.run.dag_run_note) == ("Ann looks at it", notes.KILLED, None)
