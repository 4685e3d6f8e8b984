"""Let a task wait for AWS without occupying a worker slot: Airflow runs it again later, in the same try."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowRescheduleException

from include.pipeline.waiting import Pending, StepState, finish

log = logging.getLogger(__name__)

KEY = "step_state"
IN_WORKER_SECONDS = 30.0
"""How long a task waits in the worker first, if ``poll_seconds`` is shorter. A new process for each check would take
longer than most waits of local AWS."""
PAUSE_SECONDS = 10.0
"""The minimum pause of a task. After it, the scheduler knows that the process has ended."""

Result = TypeVar("Result")


def frees_its_slot(poll_seconds: float) -> Callable[[Callable[[StepState], Result]], Callable[[], Result]]:
    """Return a decorator for a step that raises Pending while it waits; it returns a function for ``@task``.

    What the step keeps is in Airflow's task state store, which outlives the process, the pause and a failed try. It is
    deleted when the step has finished, so that a cleared task starts over.

    :param poll_seconds: The number of seconds between two calls.
    """

    def decorate(step: Callable[[StepState], Result]) -> Callable[[], Result]:
        @functools.wraps(step)
        def run() -> Result:
            context: Any = get_current_context()
            store = context["task_state_store"]
            state = StepState(store.get(KEY), functools.partial(store.set, KEY), context["ti"].try_number)
            try:
                result = finish(step, state, pause=poll_seconds, at_most=IN_WORKER_SECONDS)
            except Pending:
                pause = max(poll_seconds, PAUSE_SECONDS)
                log.info("The worker slot is released for %g s.", pause)
                raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=pause)) from None
            store.delete(KEY)
            return result

        # Airflow passes no arguments to a task whose function has none.
        run.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
        return run

    return decorate
