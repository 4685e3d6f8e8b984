"""A small client for Airflow's REST API: trigger a DAG, monitor its run, read its results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any
from urllib.parse import quote

import requests

from include.laptop.dag_runs import DagRun, ProgressCheck, TaskInstance, states_of
from include.laptop.errors import LaptopError

ANSWER_SECONDS = 30
POLL_SECONDS = 1.0
# Reading the tasks of a run is more expensive for Airflow than reading its state, so not every poll does it.
POLLS_PER_LOOK = 4
DATABASE_TRIES = 10
RUN_ENDED = frozenset({"success", "failed"})


class AirflowApiError(LaptopError):
    """Airflow rejected a request or could not be reached. The message says why."""


class AirflowApi:
    """The API of the Airflow at `url`, used as `user`; each request times out after `timeout` seconds."""

    def __init__(self, url: str, user: str, password: str, timeout: float = ANSWER_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._login = {"username": user, "password": password}
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy for connections on this machine

    def unpause(self, dag_id: str) -> None:
        """Unpause this DAG, so that the scheduler starts its runs."""
        self.ask_again("PATCH", f"dags/{quote(dag_id)}", json={"is_paused": False})

    def is_parsed(self, dag_id: str) -> bool:
        """Return whether Airflow has parsed this DAG."""
        return self.request("GET", f"dags/{quote(dag_id)}").status_code == 200

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace of each DAG file that could not be imported."""
        answer = self.ask("GET", "importErrors")
        return {error["filename"]: error["stack_trace"] for error in answer["import_errors"]}

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run with these params; return its run ID."""
        return str(
            self.ask("POST", f"dags/{quote(dag_id)}/dagRuns", json={"logical_date": None, "conf": conf})[
                "dag_run_id"
            ]
        )

    def unfinished_runs(self, dag_id: str = "~") -> list[DagRun]:
        """Return the queued and running runs of a DAG, or of all DAGs, latest first."""
        return self.runs(dag_id, ["queued", "running"])

    def runs(self, dag_id: str, states: Sequence[str], limit: int = 100) -> list[DagRun]:
        """Return the latest runs of a DAG, or of all DAGs for "~", that are in one of these states."""
        answer = self.ask(
            "GET",
            f"dags/{quote(dag_id)}/dagRuns",
            params={"state": list(states), "order_by": "-run_after", "limit": limit},
        )
        return [_dag_run(run) for run in answer["dag_runs"]]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """Return the current state of a run."""
        return _dag_run(self.ask("GET", run_path(dag_id, run_id)))

    def fail_run(self, run: DagRun, note: str) -> None:
        """Mark a run as failed, with a note that the UI shows."""
        self.ask_again("PATCH", run_path(run.dag_id, run.run_id), json={"state": "failed", "note": note})

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: queued, running, success or failed."""
        return self.run(dag_id, run_id).state

    def wait(self, dag_id: str, run_id: str, timeout: float, *, awaits_input: bool = False) -> str:
        """Wait until a run has ended, and return its final state.

        :param timeout: The maximum duration of the run, in seconds.
        :param awaits_input: Whether a task may wait for input, because its question is answered or times out.
        :raises RunBlockedError: If the run waits for input, or is queued behind a run that does.
        :raises TimeoutError: If the run has not ended within ``timeout``.
        """
        until = time.monotonic() + timeout
        progress = ProgressCheck(awaits_input)
        polls = 0
        while (run := self.run(dag_id, run_id)).state not in RUN_ENDED:
            if time.monotonic() > until:
                raise TimeoutError(
                    f"Run {run_id} of {dag_id} is still {run.state} after {timeout:.0f} s. "
                    f"Its tasks: {states_of(self.task_instances(dag_id, run_id))}."
                )
            if polls % POLLS_PER_LOOK == 0:
                progress.look(run, self._ahead_of(run))
            polls += 1
            time.sleep(POLL_SECONDS)
        return run.state

    def _ahead_of(self, run: DagRun) -> dict[DagRun, list[TaskInstance]]:
        """Return the runs that must end before a queued run starts, or otherwise the run, each with its tasks."""
        ahead = self.runs(run.dag_id, ["running"]) if run.state == "queued" else []
        return {each: self.task_instances(each.dag_id, each.run_id) for each in ahead or [run]}

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return all tasks of a run, in the order of their start."""
        found: list[TaskInstance] = []
        while True:
            answer = self.ask(
                "GET",
                f"{run_path(dag_id, run_id)}/taskInstances",
                params={"limit": 100, "offset": len(found)},
            )
            found += [
                TaskInstance(
                    task_id=item["task_id"],
                    map_index=item["map_index"],
                    state=item["state"],
                    try_number=item["try_number"],
                    start=_time(item["start_date"]),
                    end=_time(item["end_date"]),
                )
                for item in answer["task_instances"]
            ]
            if len(found) >= answer["total_entries"] or not answer["task_instances"]:
                return sorted(found, key=lambda task: (task.start is None, task.start or 0))

    def task_order(self, dag_id: str) -> list[str]:
        """Return the task IDs of a DAG in topological order."""
        order: TopologicalSorter[str] = TopologicalSorter()
        for task in self.ask("GET", f"dags/{quote(dag_id)}/tasks")["tasks"]:
            order.add(task["task_id"])
            for downstream in task["downstream_task_ids"]:
                order.add(downstream, task["task_id"])
        return list(order.static_order())

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return the return value of a task; None if it has none or has not run."""
        path = f"{run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/return_value"
        answer = self.request("GET", path, params={"map_index": map_index})
        if answer.status_code == 404:
            return None
        return self._checked(answer)["value"]

    def log(self, dag_id: str, run_id: str, task: TaskInstance) -> list[str]:
        """Return the log lines of the last try of a task."""
        path = f"{run_path(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/logs/{task.try_number}"
        answer = self.ask("GET", path, params={"map_index": task.map_index, "full_content": True})
        return [line if isinstance(line, str) else _log_line(line) for line in answer["content"]]

    def open_questions(self, dag_id: str = "~", run_id: str = "~") -> list[dict[str, Any]]:
        """Return up to 100 open questions of a run, or of all runs.

        Each has a ``subject``, ``created_at`` and its ``task_instance``.
        """
        path = f"{run_path(dag_id, run_id)}/hitlDetails"
        answer = self.ask("GET", path, params={"response_received": False, "limit": 100})
        return list(answer["hitl_details"])

    def answer(self, dag_id: str, run_id: str, task_id: str, choice: str, map_index: int = -1) -> None:
        """Answer the question of a task."""
        path = f"{run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/{map_index}/hitlDetails"
        self.ask("PATCH", path, json={"chosen_options": [choice], "params_input": {}})

    def events(self, dag_id: str, run_id: str, event: str) -> list[str]:
        """Return up to 100 entries of Airflow's audit log for a kind of event in a run."""
        parameters = {"dag_id": dag_id, "run_id": run_id, "event": event, "limit": 100}
        answer = self.ask("GET", "eventLogs", params=parameters)
        return [str(entry["extra"]) for entry in answer["event_logs"]]

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return the URL of a run in the UI."""
        return f"{self.url}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"

    def task_page(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return the URL of a task of a run in the UI."""
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{self.run_page(dag_id, run_id)}/tasks/{quote(task.task_id)}{mapped}"

    def question_page(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return the URL of the page on which to answer a task's question."""
        return f"{self.task_page(dag_id, run_id, task)}/required_actions"

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request to a path below ``/api/v2/`` and return the JSON object of the answer.

        :param options: of :meth:`requests.Session.request`.
        :raises AirflowApiError: Airflow can't be reached, or rejects the request.
        """
        return self._checked(self.request(method, path, **options))

    def ask_again(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send an idempotent request, and retry while the database is busy.

        On SQLite, Airflow returns 500 with "Database error" while another of its processes writes for too long.
        """
        for _ in range(DATABASE_TRIES - 1):
            answer = self.request(method, path, **options)
            if answer.status_code != 500 or "Database error" not in answer.text:
                return self._checked(answer)
            time.sleep(POLL_SECONDS)
        return self.ask(method, path, **options)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request to a path below ``/api/v2/`` and return the answer, whatever its status is."""
        if "Authorization" not in self.session.headers:
            self._log_in()
        answer = self._send(method, f"api/v2/{path}", **options)
        if answer.status_code == 401:  # the token has expired after a day
            self._log_in()
            answer = self._send(method, f"api/v2/{path}", **options)
        return answer

    def _log_in(self) -> None:
        token = self._checked(self._send("POST", "auth/token", json=self._login))["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self.session.request(method, f"{self.url}/{path}", timeout=self._timeout, **options)
        except requests.Timeout as error:
            raise AirflowApiError(
                f"Airflow's API server at {self.url} did not respond within {self._timeout:g} s."
            ) from error
        except requests.ConnectionError as error:
            raise AirflowApiError(
                f"Airflow's API server at {self.url} can't be reached. `make status` shows what is running."
            ) from error
        except requests.RequestException as error:
            raise AirflowApiError(f"Airflow's API server at {self.url} did not respond: {error}.") from error

    def _checked(self, answer: requests.Response) -> dict[str, Any]:
        if answer.ok:
            return dict(answer.json())
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.text[:500]
        raise AirflowApiError(
            f"Airflow rejected {answer.request.method} {answer.url} with {answer.status_code}: {detail}"
        )


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of a run below ``/api/v2/``."""
    return f"dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _dag_run(answer: dict[str, Any]) -> DagRun:
    return DagRun(
        dag_id=answer["dag_id"],
        run_id=answer["dag_run_id"],
        state=answer["state"],
        queued_at=_time(answer["queued_at"]),
        decided_at=_time(answer["last_scheduling_decision"]),
        note=answer["note"],
        start=_time(answer.get("start_date")),
        end=_time(answer.get("end_date")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log_line(line: dict[str, Any]) -> str:
    errors = [
        f"{error.get('exc_type', '')}: {error.get('exc_value', '')}"
        for error in line.get("error_detail") or []
    ]
    # Airflow logs an event and its reason separately, such as "Skipping task." and why.
    return " ".join([str(line.get("event", "")), *filter(None, [line.get("reason")]), *errors])
