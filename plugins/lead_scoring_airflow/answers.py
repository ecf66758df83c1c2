"""A person's answer outlives the try of a task that asked for it.

Airflow 3.3 may take the end of the process that asked for the end of the one that goes on, when the answer comes within
some seconds of the question: it fails the try, and the next one would ask again. The scheduler, which does that, calls
:func:`keep` (through the plugin ``run_notes``) before the next try starts, and that try takes the answer.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

log = logging.getLogger(__name__)
STATE_ANSWER = "answer_before"  # in the task state store, which Airflow keeps over the tries of a task


def keep(session: Any, ti: TaskInstance) -> None:
    """From the scheduler, when a try has ended without a word: store what a person had answered to it, if one had."""
    from airflow._shared.state import TaskScope
    from airflow.models.hitl import HITLDetail
    from airflow.state import get_state_backend
    from sqlalchemy import select

    session.flush()  # nothing flushes by itself here, and the question moves with its task to the id of the next try
    detail = session.scalar(select(HITLDetail).where(HITLDetail.ti_id == ti.id))
    if detail is None or not detail.response_received:
        return
    answer = detail.as_resume_event_payload(timedout=detail.responded_by is None)
    answer["responded_at"] = answer["responded_at"].isoformat()
    scope = TaskScope(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)
    value = json.dumps({"try_number": ti.try_number, "event": answer})
    get_state_backend().set(scope, STATE_ANSWER, value, session=session)


def forget_questions(dag_run: DagRun) -> None:
    """From the scheduler, when a run begins or begins again: drop the questions of the tasks that have yet to run.

    Of a cleared task Airflow would show the question of before, with its figures and its deadline.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import delete, select
    from sqlalchemy.orm import object_session

    if (session := object_session(dag_run)) is None:
        log.error("run %s of %s is in no session: old questions stay", dag_run.run_id, dag_run.dag_id)
        return
    to_run = select(TaskInstance.id).where(
        TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id, TaskInstance.state.is_(None)
    )
    session.execute(
        delete(HITLDetail).where(HITLDetail.ti_id.in_(to_run)), execution_options={"synchronize_session": False}
    )


def given(context: Any) -> dict[str, Any] | None:
    """From a task: the answer that the try before this one lost, as the event that Airflow would have resumed it with.

    None if there is none, also after a person cleared the task: who clears wants to be asked again.
    """
    kept = context["task_state_store"].get(STATE_ANSWER)
    if kept is None or kept["try_number"] != context["ti"].try_number - 1:
        return None
    event = dict(kept["event"])
    event["responded_at"] = dt.datetime.fromisoformat(event["responded_at"])
    return event
