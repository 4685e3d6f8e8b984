"""Ignore the executor's report of a pause when it reaches the scheduler after the task was resumed.

A task that defers, or waits for a person, ends its process, and the executor reports that end as a success. If the task
is resumed before the scheduler reads the report, Airflow 3.3.2 logs "state mismatch" and fails the try.

* State ``queued``: https://github.com/apache/airflow/issues/67287, fixed on Airflow's main branch by
  https://github.com/apache/airflow/pull/68741. Version 3.3.2 is without the fix.
* State ``running``: https://github.com/apache/airflow/issues/72716. No release has a fix. Proposed fixes are
  https://github.com/apache/airflow/pull/72767 and https://github.com/apache/airflow/pull/73546.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.executors.base_executor import BaseExecutor
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

SCHEDULER = "airflow.jobs.scheduler_job_runner"

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Install the guard when Airflow starts a scheduler."""
    # Every component and every task calls this. Only the scheduler's process has imported its module.
    if SCHEDULER in sys.modules:
        install()


def install() -> None:
    """Let the scheduler drop stale reports before it processes an executor's events."""
    runner = sys.modules[SCHEDULER].SchedulerJobRunner
    process_events = runner.process_executor_events
    if hasattr(process_events, "__wrapped__"):
        return

    @functools.wraps(process_events)
    def process_other_events(
        _: type, executor: BaseExecutor, *args: Any, session: Session, **kwargs: Any
    ) -> int:
        drop_stale_successes(executor, session)
        return process_events(executor, *args, session=session, **kwargs)

    runner.process_executor_events = classmethod(process_other_events)
    log.info("The scheduler ignores stale executor events (apache/airflow#67287 and #72716)")


def drop_stale_successes(executor: BaseExecutor, session: Session) -> None:
    """Remove from the executor's buffer the success of each task that was resumed and runs, or is about to.

    A process of the resumed try that dies is not missed: it sends no heartbeats, and Airflow fails its task for that.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    successes = [
        key
        for key, (state, _) in executor.event_buffer.items()
        if isinstance(key, TaskInstanceKey) and state == TaskInstanceState.SUCCESS
    ]
    if not successes:
        return
    resumed = select(TaskInstance).where(
        cast("ColumnElement[bool]", TaskInstance.filter_for_tis(successes)),
        TaskInstance.state.in_([TaskInstanceState.QUEUED, TaskInstanceState.RUNNING]),
        # Kept from the pause until the try ends, so that it tells a resumed task from one that never paused.
        TaskInstance.next_method.is_not(None),
    )
    for instance in session.scalars(resumed):
        if executor.event_buffer.pop(instance.key, None):
            log.info("Ignored the executor's late report that %s has paused", instance)
