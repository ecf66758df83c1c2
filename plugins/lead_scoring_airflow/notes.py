"""The notes of runs and red tasks: what a person reads first in Airflow's lists.

A task cannot write a note: the interface it talks to Airflow through has none. So a task *tells*: it pushes a few
phrases as the XCom ``note``, and why it failed as the XCom ``error``. When the run has ended, the process that
ended it (the scheduler; the API server if a person set the state) joins them into the run's note, and writes why a task
is red into the task's note. So a task that was killed and told nothing gets its note like any other, with every
executor.

What a person wrote into a note stays; ours is replaced when the run ends again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring.text import escape_markdown, shown
from lead_scoring_airflow import answers

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

XCOM_ERROR = "error"
XCOM_NOTE = "note"
AUTHOR = "lead-scoring"  # user_id of the notes that are ours
MAX_NOTE = 1000  # characters, Airflow's column
MAX_REASON = 380  # characters of one error in a note: two and all else fit
SHOWN_TASKS = 2
OURS_BELOW = "\n\n---\n"  # between what a person wrote and ours
KILLED = (
    "its process ended without a word: killed (kill -9, out of memory), or its worker was lost. The end of its log "
    "names the signal. Clear the task: what is finished is not done again"
)
NOT_STARTED = "it never started; the scheduler's log says why. Clear the task to try again"
BY_PERSON = "a person set it to failed"

log = logging.getLogger(__name__)


def tell(ti: Any, phrases: Sequence[str]) -> None:
    """From a task: what the run's note is to say of it. Telling again replaces.

    :param ti: the task instance of the context.
    :param phrases: in Markdown, such as ``1,234 leads scored``.
    """
    ti.xcom_push(key=XCOM_NOTE, value=list(phrases))


def linked(text: str, address: str) -> str:
    """The text as a Markdown link, or alone if there is no address."""
    return f"[{text}]({address.replace(')', '%29')})" if address else text


def reason_of(error: BaseException) -> str:
    """An error as one line: ours as it is, it names thing, value and remedy; of others the kind and the first line."""
    from lead_scoring.errors import LeadScoringError

    if isinstance(error, LeadScoringError):
        return str(error)
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}; see the log"


def task_failed(ti: RuntimeTaskInstance | TaskInstance, error: None | str | BaseException) -> None:
    """A try of a task has failed. In its own process there is an exception, and its reason is pushed as XCom ``error``;
    elsewhere Airflow has a text: a person set the state, or nothing was heard of the process."""
    if isinstance(error, BaseException):
        ti.xcom_push(key=XCOM_ERROR, value=reason_of(error))
        return
    from sqlalchemy.orm import object_session

    if (session := object_session(ti)) is None:
        log.error("task %s of run %s is in no session: what is known of its end is not kept", ti.task_id, ti.run_id)
    elif error and "manually" in error:
        _put_task_note(session, ti, BY_PERSON)
    else:
        answers.keep(session, ti)


def run_begins(dag_run: DagRun) -> None:
    """A run begins, or begins again after a person cleared tasks: what its notes said of these ends is over."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        log.error("run %s of %s is in no session: old notes stay", dag_run.run_id, dag_run.dag_id)
        return
    query = select(TaskInstance).filter_by(dag_id=dag_run.dag_id, run_id=dag_run.run_id, state=None)
    for ti in session.scalars(query).all():
        _put_task_note(session, ti, None)
    if (standing := dag_run.dag_run_note) is not None and _ours(standing) is not None:
        if theirs := _theirs(standing):
            standing.content = theirs
        else:
            dag_run.dag_run_note = None
    session.flush()


def run_ended(dag_run: DagRun) -> None:
    """Write the notes of a run that has just ended, in the session of who ended it.

    The session is committed by its owner. Airflow's scheduler forbids a commit or a savepoint here, and what another
    session wrote beside it would wait for its lock.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        log.error("run %s of %s is in no session: it gets no note", dag_run.run_id, dag_run.dag_id)
        return
    where = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id}
    tasks = session.scalars(select(TaskInstance).filter_by(**where)).all()
    query = select(XComModel).filter_by(**where).where(XComModel.key.in_([XCOM_ERROR, XCOM_NOTE]))
    told = session.scalars(query.order_by(XComModel.timestamp)).all()
    errors = {(item.task_id, item.map_index): item for item in told if item.key == XCOM_ERROR}
    reasons: dict[str, str] = {}
    for ti in sorted(tasks, key=lambda ti: (ti.end_date is None, ti.end_date, ti.map_index)):
        if ti.state != "failed":
            _put_task_note(session, ti, None)
            continue
        reason = _reason(ti, errors.get((ti.task_id, ti.map_index)))
        _put_task_note(session, ti, reason)
        reasons[ti.task_id if ti.map_index < 0 else f"{ti.task_id} [{ti.rendered_map_index or ti.map_index}]"] = reason
    note = run_note(reasons, [XComModel.deserialize_value(item) for item in told if item.key == XCOM_NOTE])
    standing = dag_run.dag_run_note
    text = _beside(standing, note)
    if standing is None:
        dag_run.note = (text, AUTHOR)
    else:
        standing.content = text
    session.flush()


def run_note(reasons: Mapping[str, str], told: Iterable[Sequence[str]]) -> str:
    """The run's note, as Markdown.

    :param reasons: red task to why it is red, in the order in which they ended.
    :param told: what the tasks told (:func:`tell`), in the order in which they did.
    """
    phrases = list(dict.fromkeys(phrase for each in told for phrase in each))
    lines = [f"**{task}** is red: {_escaped(reason)}" for task, reason in list(reasons.items())[:SHOWN_TASKS]]
    if len(reasons) > SHOWN_TASKS:
        lines.append(f"{len(reasons) - SHOWN_TASKS} more tasks are red")
    if phrases:
        lines.append(", ".join(phrases))
    return _fitting(lines) or "Ended, and no task told anything"


def _fitting(lines: Sequence[str]) -> str:
    """The lines as paragraphs, as many as a note holds."""
    text = ""
    for line in lines:
        longer = f"{text}\n\n{line}" if text else line
        if len(longer) <= MAX_NOTE:
            text = longer
    return text


def _escaped(reason: str) -> str:
    return escape_markdown(shown(reason, maximum=MAX_REASON))


def _reason(ti: TaskInstance, error: Any) -> str:
    """Why a task is red: what it told in its last try, else that a person did it since that began, else a kill."""
    from airflow.models.xcom import XComModel

    if ti.start_date is None:
        return NOT_STARTED
    if error is not None and error.timestamp >= ti.start_date:
        return str(XComModel.deserialize_value(error))
    note = ti.task_instance_note
    if note is not None and _ours(note) == BY_PERSON and note.updated_at >= ti.start_date:
        return BY_PERSON
    return KILLED


def _put_task_note(session: Any, ti: Any, reason: str | None) -> None:
    """Write why it is red, or take our words of an earlier end away."""
    from airflow.sdk import timezone

    standing = ti.task_instance_note
    if reason is None:
        if standing is not None and _ours(standing) is not None:
            text = _theirs(standing)
            if text:
                standing.content = text
            else:
                ti.task_instance_note = None
        return
    text = _beside(standing, _escaped(reason))
    if standing is None:
        ti.note = (text, AUTHOR)
    else:
        standing.content = text
        standing.updated_at = timezone.utcnow()  # also where the words are the same: it tells a new end from an old one
    session.flush()


def _theirs(note: Any) -> str:
    """What a person wrote into a note."""
    return "" if note.user_id == AUTHOR else (note.content or "").partition(OURS_BELOW)[0]


def _ours(note: Any) -> str | None:
    content = note.content or ""
    if note.user_id == AUTHOR:
        return content
    _, between, ours = content.partition(OURS_BELOW)
    return ours if between else None


def _beside(standing: Any, text: str) -> str:
    """Ours alone, or below what a person wrote, as far as it fits."""
    theirs = "" if standing is None else _theirs(standing)
    return (f"{theirs}{OURS_BELOW}{text}" if theirs else text)[:MAX_NOTE]
