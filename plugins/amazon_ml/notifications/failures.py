"""Store why the tasks of a run failed, so that later tasks and callbacks can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

CAUSE_KEY = "failure"
MAX_CHARACTERS = 1000


def keep_cause(context: Context) -> None:
    """Store why a task failed as its XCom; for ``on_failure_callback`` of tasks."""
    error = context.get("exception")
    if error is None:  # the worker died, so Airflow calls this in another process without an exception
        return
    cause = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    context["ti"].xcom_push(key=CAUSE_KEY, value=cause[:MAX_CHARACTERS])


def failures(context: Context) -> dict[str, str]:
    """Return the failed tasks of the context's run, each with its cause if one was stored."""
    ti: Any = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    found = {}
    for key in sorted(name for name, state in states.items() if state == "failed"):
        task_id, map_index = _split(key, context["dag"].task_ids)
        cause = ti.xcom_pull(task_ids=task_id, key=CAUSE_KEY, map_indexes=map_index)
        found[key] = str(cause or "see its log")
    return found


def _split(key: str, task_ids: list[str]) -> tuple[str, int]:
    """Return a task's ID and map index. Airflow names the states of mapped tasks ``<id>_<index>``."""
    if key in task_ids:
        return key, -1
    task_id, _, index = key.rpartition("_")
    return task_id, int(index)
