"""The plugin that keeps the notes of runs and red tasks, and people's answers: Airflow's own processes call it.

The work is in ``lead_scoring_airflow.notes`` and ``answers``, which are imported only for a DAG of this project: every
Airflow process imports this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

DAG_PREFIX = "lead_scoring_"


class RunNotes:
    @hookimpl
    def on_task_instance_failed(
        self, task_instance: RuntimeTaskInstance | TaskInstance, error: None | str | BaseException
    ) -> None:
        if task_instance.dag_id.startswith(DAG_PREFIX):
            from lead_scoring_airflow import notes

            notes.task_failed(task_instance, error)

    @hookimpl
    def on_dag_run_running(self, dag_run: DagRun) -> None:
        if dag_run.dag_id.startswith(DAG_PREFIX):
            from lead_scoring_airflow import answers, notes

            answers.forget_questions(dag_run)
            notes.run_begins(dag_run)

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun) -> None:
        if dag_run.dag_id.startswith(DAG_PREFIX):
            from lead_scoring_airflow import notes

            notes.run_ended(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun) -> None:
        self.on_dag_run_success(dag_run)


class RunNotesPlugin(AirflowPlugin):
    name = "lead_scoring_run_notes"
    listeners = [RunNotes()]
