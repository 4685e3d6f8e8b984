"""Store what a task returns, and read what other tasks of a run have returned; no other file reads their XComs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException
from pydantic import BaseModel, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from airflow.sdk import Context

RETURN_VALUE = "return_value"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ResultError(AirflowFailException):
    """Raised if a task needs a result that does not exist or can't be read; the message says which task to clear."""


def as_json(step: Callable[Arguments, Any]) -> Callable[Arguments, Any]:
    """Return a function for ``@task`` that returns the JSON of the models that ``step`` returns.

    The XCom contains plain JSON, without fields that the step has left at their defaults.
    """

    @functools.wraps(step)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        return to_json(step(*args, **kwargs))

    return run


def to_json(result: Any) -> Any:
    """Return a model, or each model of a list, as JSON; anything else as it is."""
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json", exclude_unset=True)
    return [to_json(each) for each in result] if isinstance(result, list) else result


class RunResults:
    """
    The return values of the tasks of a run in their current try: ``results.get("train", TrainedModel)``.

    A result is valid only if the task's state is ``success``. Airflow deletes the return value of a task when the task
    starts again, not when it is cleared (apache/airflow#45506). In a cleared run, a task that was skipped, or that did
    not start because another task failed, still has the value of an earlier try.

    :param context: The context of the reading task; by default, the context of the running task.
    """

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or get_current_context()
        self._states: dict[str, str | None] | None = None
        self._pushed: dict[tuple[str, str], Any] = {}

    def get(self, task_id: str, kind: type[Result]) -> Result:
        """
        Return the task's return value.

        :param kind: Its model, or another type such as ``list[str]``.
        :raises ResultError: If the task did not succeed in its current try, or has returned something else.
        """
        found = self.find(task_id, kind)
        if found is None:
            raise ResultError(
                f"The result of the task {task_id} is missing: it has not succeeded in this run. Clear {task_id} with "
                "all tasks after it."
            )
        return found

    def find(self, task_id: str, kind: type[Result]) -> Result | None:
        """Return the task's return value, or None if the task did not succeed in its current try or returned None."""
        value = self.pushed(task_id, RETURN_VALUE)
        if value is None:
            return None
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ResultError(
                f"The result of the task {task_id} can't be read ({where or 'value'}: {first['msg']}). Another version "
                f"of this project may have written it. Clear {task_id} with all tasks after it."
            ) from error

    def pushed(self, task_id: str, key: str) -> Any:
        """Return the task's XCom with a key, or None if the task did not succeed in its current try."""
        if not self.succeeded(task_id):
            return None
        if (task_id, key) not in self._pushed:  # a task that has succeeded changes nothing anymore
            self._pushed[task_id, key] = self.context["ti"].xcom_pull(task_ids=task_id, key=key)
        return self._pushed[task_id, key]

    def succeeded(self, task_id: str) -> bool:
        """Return whether the task has succeeded in its current try."""
        if self._states is None:
            ti: Any = self.context["ti"]
            self._states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        return self._states.get(task_id) == "success"
