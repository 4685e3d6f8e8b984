"""How the client waits for the end of a run, with prepared responses of Airflow's REST API."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import requests

from include.laptop.airflow_api import AirflowApi, AirflowApiError
from include.laptop.dag_runs import RunBlockedError

DAG = "sample.rollback"
Look = tuple[str, dict[str, str | None]]


class PreparedAirflow(AirflowApi):
    """Responses about runs of one DAG: each run has a list of states, of which the last one is final."""

    def __init__(self, **runs: list[Look]) -> None:
        super().__init__("http://127.0.0.1:1", "admin", "password")
        self.looks = runs
        self.seconds = itertools.count()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        run_id, _, what = path.removeprefix(f"dags/{DAG}/dagRuns").removeprefix("/").partition("/")
        if not run_id:
            runs = [self._run(run_id) for run_id in self.looks]
            return {"dag_runs": [run for run in runs if run["state"] in options["params"]["state"]]}
        if not what:
            run = self._run(run_id)
            del self.looks[run_id][: len(self.looks[run_id]) > 1]
            return run
        tasks = [
            {"task_id": name, "map_index": -1, "state": state, "try_number": 1}
            | {"start_date": None, "end_date": None}
            for name, state in self.looks[run_id][0][1].items()
        ]
        return {"task_instances": tasks, "total_entries": len(tasks)}

    def _run(self, run_id: str) -> dict[str, Any]:
        decided = f"2026-01-01T00:00:00.{next(self.seconds):06}Z"
        return {
            "dag_id": DAG,
            "dag_run_id": run_id,
            "state": self.looks[run_id][0][0],
            "queued_at": None,
            "last_scheduling_decision": decided,
            "note": None,
        }


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.laptop.airflow_api.POLL_SECONDS", 0)


ASKS: Look = ("running", {"ask_for_version": "awaiting_input", "deploy": None})
QUEUED: Look = ("queued", {"ask_for_version": None, "deploy": None})


def test_final_state_of_a_run_is_returned() -> None:
    airflow = PreparedAirflow(mine=[QUEUED, ("running", {"ask_for_version": "running"}), ("success", {})])
    assert airflow.wait(DAG, "mine", 60) == "success"


def test_run_that_waits_for_an_answer_is_an_error() -> None:
    with pytest.raises(RunBlockedError, match=r"mine of .* ask_for_version waits for an answer"):
        PreparedAirflow(mine=[ASKS]).wait(DAG, "mine", 60)


def test_run_queued_behind_one_that_waits_for_an_answer_is_an_error() -> None:
    with pytest.raises(RunBlockedError, match=r"mine of .* is queued behind other, where ask_for_version"):
        PreparedAirflow(mine=[QUEUED], other=[ASKS]).wait(DAG, "mine", 60)


def test_waiting_for_an_answer_may_be_allowed() -> None:
    airflow = PreparedAirflow(mine=[*[ASKS] * 50, ("success", {})])
    assert airflow.wait(DAG, "mine", 60, awaits_input=True) == "success"


def test_timeout_is_an_error_with_the_states_of_the_tasks() -> None:
    with pytest.raises(TimeoutError, match=r"still running after 0 s\. Its tasks: deferred: train\."):
        PreparedAirflow(mine=[("running", {"train": "deferred"})]).wait(DAG, "mine", 0)


class BusyAirflow(AirflowApi):
    """Responds a number of times that the database is busy, and then successfully."""

    def __init__(self, times: int) -> None:
        super().__init__("http://127.0.0.1:1", "admin", "password")
        self.left = times

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = requests.Response()
        answer.request = requests.Request(method, f"{self.url}/{path}").prepare()
        answer.status_code = 500 if self.left else 200
        answer._content = b'{"detail": {"reason": "Database error"}}' if self.left else b"{}"  # noqa: SLF001
        self.left -= 1
        return answer


def test_busy_database_is_retried() -> None:
    BusyAirflow(times=3).unpause(DAG)


def test_database_that_stays_busy_is_an_error() -> None:
    with pytest.raises(AirflowApiError, match=r"rejected PATCH .* with 500: .*Database error"):
        BusyAirflow(times=100).unpause(DAG)


def test_other_errors_are_raised_immediately() -> None:
    airflow = BusyAirflow(times=100)
    with pytest.raises(AirflowApiError, match="Database error"):
        airflow.answer(DAG, "run", "approve", "Approve")
    assert airflow.left == 99
