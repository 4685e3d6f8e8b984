"""A small client of Airflow's REST API: trigger a DAG, watch its run, read what it returned."""

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
POLL_SECONDS = 0.5
# To read the tasks of a run costs Airflow more than to read its state, so not every poll does it.
POLLS_PER_LOOK = 4
DATABASE_TRIES = 10
RUN_ENDED = frozenset({"success", "failed"})


class AirflowApiError(LaptopError):
    """Airflow refused, or could not be reached; the message says which, and why."""


class AirflowApi:
    """Airflow at `url`, as `user`; a request that is not answered within `timeout` seconds is an error."""

    def __init__(self, url: str, user: str, password: str, timeout: float = ANSWER_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between this machine and itself

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler start runs of this DAG."""
        self._ask_again("PATCH", f"dags/{quote(dag_id)}", json={"is_paused": False})

    def is_parsed(self, dag_id: str) -> bool:
        """Tell whether Airflow knows this DAG by now."""
        return self._answer("GET", f"dags/{quote(dag_id)}").status_code == 200

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace of each DAG file that could not be imported."""
        answer = self._ask("GET", "importErrors")
        return {error["filename"]: error["stack_trace"] for error in answer["import_errors"]}

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run with these params; return its id."""
        return str(
            self._ask("POST", f"dags/{quote(dag_id)}/dagRuns", json={"logical_date": None, "conf": conf})[
                "dag_run_id"
            ]
        )

    def unfinished_runs(self, dag_id: str = "~") -> list[DagRun]:
        """Return the runs of a DAG, or of all of them, that are queued or running; the latest comes first."""
        return self.runs(dag_id, ["queued", "running"])

    def runs(self, dag_id: str, states: Sequence[str], limit: int = 100) -> list[DagRun]:
        """Return the latest runs of a DAG, or of all of them for "~", that are in one of these states."""
        answer = self._ask(
            "GET",
            f"dags/{quote(dag_id)}/dagRuns",
            params={"state": list(states), "order_by": "-run_after", "limit": limit},
        )
        return [_dag_run(run) for run in answer["dag_runs"]]

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """Return a run as it is now."""
        return _dag_run(self._ask("GET", _run(dag_id, run_id)))

    def fail_run(self, run: DagRun, note: str) -> None:
        """End a run as failed, with a note that the UI shows."""
        self._ask_again("PATCH", _run(run.dag_id, run.run_id), json={"state": "failed", "note": note})

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: queued, running, success or failed."""
        return self.run(dag_id, run_id).state

    def wait(self, dag_id: str, run_id: str, timeout: float, *, awaits_input: bool = False) -> str:
        """Return the state in which a run ended.

        :param timeout: how many seconds the run may take.
        :param awaits_input: whether a task may wait for a person, because it is answered or times out.
        :raises RunBlockedError: if the run waits for a person, or is queued behind a run that does.
        :raises TimeoutError: if the run has not ended in time.
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
        """Return the runs that have to end before a queued run starts, or else the run, each with its tasks."""
        ahead = self.runs(run.dag_id, ["running"]) if run.state == "queued" else []
        return {each: self.task_instances(each.dag_id, each.run_id) for each in ahead or [run]}

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return every task of a run, in the order in which they started."""
        found: list[TaskInstance] = []
        while True:
            answer = self._ask(
                "GET", f"{_run(dag_id, run_id)}/taskInstances", params={"limit": 100, "offset": len(found)}
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
        """Return the ids of a DAG's tasks, each after those that it waits for."""
        order: TopologicalSorter[str] = TopologicalSorter()
        for task in self._ask("GET", f"dags/{quote(dag_id)}/tasks")["tasks"]:
            order.add(task["task_id"])
            for downstream in task["downstream_task_ids"]:
                order.add(downstream, task["task_id"])
        return list(order.static_order())

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned; None when it returned nothing, or has not run."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/return_value"
        answer = self._answer("GET", path, params={"map_index": map_index})
        if answer.status_code == 404:
            return None
        return self._checked(answer)["value"]

    def log(self, dag_id: str, run_id: str, task: TaskInstance) -> list[str]:
        """Return the lines that the last try of a task logged."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/logs/{task.try_number}"
        answer = self._ask("GET", path, params={"map_index": task.map_index, "full_content": True})
        return [line if isinstance(line, str) else _log_line(line) for line in answer["content"]]

    def open_questions(self, dag_id: str = "~", run_id: str = "~") -> list[dict[str, Any]]:
        """Return the questions of a run, or of all, that wait for an answer, up to 100.

        Each has a ``subject``, ``created_at`` and the ``task_instance`` that asks.
        """
        path = f"{_run(dag_id, run_id)}/hitlDetails"
        answer = self._ask("GET", path, params={"response_received": False, "limit": 100})
        return list(answer["hitl_details"])

    def answer(self, dag_id: str, run_id: str, task_id: str, choice: str, map_index: int = -1) -> None:
        """Answer the question of a task."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/{map_index}/hitlDetails"
        self._ask("PATCH", path, json={"chosen_options": [choice], "params_input": {}})

    def events(self, dag_id: str, run_id: str, event: str) -> list[str]:
        """Return what Airflow's audit log says of each event of a kind in a run, up to 100."""
        parameters = {"dag_id": dag_id, "run_id": run_id, "event": event, "limit": 100}
        answer = self._ask("GET", "eventLogs", params=parameters)
        return [str(entry["extra"]) for entry in answer["event_logs"]]

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return the address of a run in the UI."""
        return f"{self.url}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"

    def task_page(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return the address of a task of a run in the UI."""
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{self.run_page(dag_id, run_id)}/tasks/{quote(task.task_id)}{mapped}"

    def question_page(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return the URL of the page that takes the answer to a task's question."""
        return f"{self.task_page(dag_id, run_id, task)}/required_actions"

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return self._checked(self._answer(method, path, **options))

    def _ask_again(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask what may be asked twice, several times where the database is busy.

        On SQLite, Airflow answers 500 with "Database error" while another of its processes writes for too long.
        """
        for _ in range(DATABASE_TRIES - 1):
            answer = self._answer(method, path, **options)
            if answer.status_code != 500 or "Database error" not in answer.text:
                return self._checked(answer)
            time.sleep(POLL_SECONDS)
        return self._ask(method, path, **options)

    def _answer(self, method: str, path: str, **options: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._log_in()
        answer = self._send(method, f"api/v2/{path}", **options)
        if answer.status_code == 401:  # the token is a day old
            self._log_in()
            answer = self._send(method, f"api/v2/{path}", **options)
        return answer

    def _log_in(self) -> None:
        token = self._checked(self._send("POST", "auth/token", json=self._login))["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, f"{self.url}/{path}", timeout=self._timeout, **options)
        except requests.Timeout as error:
            raise AirflowApiError(
                f"Airflow's API server at {self.url} did not answer within {self._timeout:g} s."
            ) from error
        except requests.ConnectionError as error:
            raise AirflowApiError(
                f"Airflow's API server at {self.url} can't be reached. `make status` shows what runs."
            ) from error
        except requests.RequestException as error:
            raise AirflowApiError(f"Airflow's API server at {self.url} did not answer: {error}.") from error

    def _checked(self, answer: requests.Response) -> dict[str, Any]:
        if answer.ok:
            return dict(answer.json())
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.text[:500]
        raise AirflowApiError(
            f"Airflow refused {answer.request.method} {answer.url} with {answer.status_code}: {detail}"
        )


def _run(dag_id: str, run_id: str) -> str:
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
    # Airflow keeps a sentence and why it was said apart: "Skipping task.", and the reason.
    return " ".join([str(line.get("event", "")), *filter(None, [line.get("reason")]), *errors])
