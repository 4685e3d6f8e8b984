"""The task instance of a run whose other tasks have ended, for code that reads their results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

RUN = "run"


def task_instance(returned: dict[str, Any], states: dict[str, str] | None = None) -> Any:
    """Return a task instance that finds what other tasks have returned.

    :param returned: by task: what its XCom holds, whatever the task's state is.
    :param states: by task: its state, if it is not ``success``.
    :return: with what it has pushed by key, as ``pushed``.
    """
    found = dict.fromkeys(returned, "success") | (states or {})
    pushed: dict[str, Any] = {}
    return SimpleNamespace(
        dag_id="dag",
        run_id=RUN,
        log_url="http://127.0.0.1:8080/dags/dag/runs/run/tasks/task",
        get_task_states=lambda dag_id, run_ids: {run_id: found for run_id in run_ids if run_id == RUN},
        pushed=pushed,
        xcom_push=lambda key, value: pushed.update({key: value}),
        xcom_pull=lambda task_ids, key: returned.get(task_ids) if key == "return_value" else None,
    )
