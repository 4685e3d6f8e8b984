"""Why the tasks of a run failed, kept where those that come later can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

CAUSE_KEY = "failure"
MAX_CHARACTERS = 1000


def keep_cause(context: Context) -> None:
    """Keep why a task failed as its XCom; a callback, for ``on_failure_callback`` of tasks."""
    error = context.get("exception")
    if error is None:  # the worker died: Airflow calls this elsewhere, and knows no cause
        return
    cause = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    context["ti"].xcom_push(key=CAUSE_KEY, value=cause[:MAX_CHARACTERS])


def failures(context: Context) -> dict[str, str]:
    """The failed tasks of the context's run, each with its cause as far as one was kept."""
    ti: Any = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    found = {}
    for key in sorted(name for name, state in states.items() if state == "failed"):
        task_id, map_index = _split(key, context["dag"].task_ids)
        cause = ti.xcom_pull(task_ids=task_id, key=CAUSE_KEY, map_indexes=map_index)
        found[key] = str(cause or "its log tells why")
    return found


def _split(key: str, task_ids: list[str]) -> tuple[str, int]:
    """A task's id and map index: Airflow names the states of mapped tasks ``<id>_<index>``."""
    if key in task_ids:
        return key, -1
    task_id, _, index = key.rpartition("_")
    return task_id, int(index)
