"""Trigger a DAG run through Airflow's REST API and follow its tasks. A CLI call costs five seconds, a request none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import requests

RUN_DONE = {"success", "failed"}


@dataclass(frozen=True)
class TaskState:
    task_id: str
    map_index: int
    state: str
    seconds: float | None
    label: str

    @property
    def name(self) -> str:
        return f"{self.task_id} [{self.label}]" if self.map_index >= 0 else self.task_id


class AirflowClient:
    """:param address: ``http://host:port``. :param session: carries the login; see :func:`sandbox.stack.api`."""

    def __init__(self, address: str, session: requests.Session) -> None:
        self.base = f"{address}/api/v2"
        self.session = session

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """:raises requests.HTTPError: with Airflow's own words: a form that refuses a value says which."""
        answer = self.session.request(method, f"{self.base}{path}", timeout=30, **kwargs)
        if not answer.ok:
            raise requests.HTTPError(f"{method} {path}: {answer.status_code} {answer.text[:500]}", response=answer)
        return answer.json() if answer.content else None

    def wait_for_dag(self, dag_id: str, seconds: float = 60.0) -> None:
        """Until the DAG processor has parsed the file. :raises TimeoutError: it did not, with the import errors."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.session.get(f"{self.base}/dags/{dag_id}", timeout=30)
            if answer.ok:
                return
            time.sleep(0.3)
        errors = self.request("GET", "/importErrors")["import_errors"]
        raise TimeoutError(f"DAG {dag_id} was not parsed in {seconds:.0f} s: {errors}")

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run with a null logical date, as the UI's button and assets do. Returns its run id."""
        body = {"logical_date": None, "conf": conf}
        return str(self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def end_active_runs(self, dag_id: str) -> list[str]:
        """Fail what an earlier, killed demo left running: it would hold the one place for ``max_active_runs``."""
        path = f"/dags/{dag_id}/dagRuns"
        found = self.request("GET", path, params={"state": ["running", "queued"], "limit": 100})["dag_runs"]
        for run in found:
            self.request("PATCH", f"{path}/{run['dag_run_id']}", json={"state": "failed"})
        return [str(run["dag_run_id"]) for run in found]

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        path, items = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", []
        while True:  # Airflow answers at most a page at a time
            page = self.request("GET", path, params={"limit": 100, "offset": len(items)})
            items += page["task_instances"]
            if len(items) >= page["total_entries"]:
                break
        return [
            TaskState(
                item["task_id"],
                item["map_index"],
                item["state"] or "none",
                item["duration"],
                item.get("rendered_map_index") or str(item["map_index"]),
            )
            for item in items
        ]

    def watch(self, dag_id: str, run_id: str, on_change: Callable[[TaskState], None], seconds: float = 1800.0) -> str:
        """Call ``on_change`` for every state a task reaches, until the run has ended. Returns the run's state."""
        seen: dict[tuple[str, int], str] = {}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.run_state(dag_id, run_id)
            for task in self.tasks(dag_id, run_id):
                if seen.get((task.task_id, task.map_index)) != task.state:
                    seen[task.task_id, task.map_index] = task.state
                    on_change(task)
            if state in RUN_DONE:
                return state
            time.sleep(0.4)
        raise TimeoutError(f"run {run_id} of {dag_id} was still going after {seconds:.0f} s")

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """One XCom value, or None if the task pushed none under this key."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        answer = self.session.get(
            f"{self.base}{path}", params={"map_index": map_index, "deserialize": "true"}, timeout=30
        )
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()["value"]

    def errors(self, dag_id: str, run_id: str) -> Iterator[tuple[str, str]]:
        """Failed tasks and the one line that says why."""
        for task in self.tasks(dag_id, run_id):
            if task.state == "failed":
                message = self.xcom(dag_id, run_id, task.task_id, "error", task.map_index)
                yield task.name, str(message or "see the task's log in the UI")
