"""Read what other tasks of a run have returned. This is the only way to do so; a test keeps it the only one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from airflow.sdk import Context

RETURN_VALUE = "return_value"


class RunResults:
    """
    What the tasks of a run have returned in their current try: ``results["train"]["artifact"]``.

    A result counts only if the task's state is ``success``. Airflow deletes what a task has returned when the task
    starts again, not when it is cleared (apache/airflow#45506). In a cleared run, a task that was skipped or did not
    start because another one failed still has the value of an earlier try.

    :param context: The context of the task that reads; by default that of the task that runs.
    """

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or get_current_context()
        self._states: dict[str, Any] | None = None

    def __getitem__(self, task_id: str) -> Any:
        """Return what the task has returned, or None if it did not succeed in its current try."""
        return self.pushed(task_id, RETURN_VALUE)

    def pushed(self, task_id: str, key: str) -> Any:
        """Return what the task has pushed with a key, or None if it did not succeed in its current try."""
        if not self.succeeded(task_id):
            return None
        return self.context["ti"].xcom_pull(task_ids=task_id, key=key)

    def succeeded(self, task_id: str) -> bool:
        """Return whether the task has succeeded in its current try."""
        if self._states is None:
            ti: Any = self.context["ti"]
            self._states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        return self._states.get(task_id) == "success"
