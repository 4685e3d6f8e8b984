"""Install the guards of the scheduler when it starts."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

from airflow.listeners import hookimpl

from upstream_guards.executor_events import drop_stale_successes
from upstream_guards.stranded_answers import expire_answered

SCHEDULER = "airflow.jobs.scheduler_job_runner"

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Install the guards when Airflow starts a scheduler."""
    # Every component and every task calls this. Only the scheduler process has imported the scheduler's module.
    if SCHEDULER in sys.modules:
        install(sys.modules[SCHEDULER].SchedulerJobRunner)


def install(runner: Any) -> None:
    """Wrap two methods of the scheduler, to first drop stale events and resume answered tasks."""
    if hasattr(runner.process_executor_events, "guarded"):
        return
    runner.process_executor_events = classmethod(_process_events(runner.process_executor_events))
    runner.check_awaiting_input_timeouts = _check_timeouts(runner.check_awaiting_input_timeouts)
    log.info("Installed the guards of the scheduler (plugin upstream_guards)")


def _process_events(original: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(original)
    def process_executor_events(_: type, executor: Any, *args: Any, session: Any, **kwargs: Any) -> int:
        drop_stale_successes(executor, session)
        return original(executor, *args, session=session, **kwargs)

    process_executor_events.guarded = True  # type: ignore[attr-defined]
    return process_executor_events


def _check_timeouts(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def check_awaiting_input_timeouts(self: Any, *args: Any, **kwargs: Any) -> None:
        from airflow.utils.session import create_session

        with create_session() as session:
            expire_answered(session)
        original(self, *args, **kwargs)

    return check_awaiting_input_timeouts
