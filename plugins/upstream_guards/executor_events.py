"""Ignore the executor's event for a paused task if the scheduler reads it after the task was resumed.

When a task is deferred, waits for input or is rescheduled, its process ends, and the executor reports a success. If the
task is resumed before the scheduler reads this event, Airflow 3.3.2 logs "state mismatch" and fails the try.

* State ``queued``: https://github.com/apache/airflow/issues/67287, fixed on Airflow's main branch by
  https://github.com/apache/airflow/pull/68741. Version 3.3.2 does not include the fix.
* State ``running``: https://github.com/apache/airflow/issues/72716. No release has a fix. Proposed fixes are
  https://github.com/apache/airflow/pull/72767 and https://github.com/apache/airflow/pull/73546.
* After a reschedule, also in state ``scheduled``: no upstream issue is known.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from airflow.executors.base_executor import BaseExecutor
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


def drop_stale_successes(executor: BaseExecutor, session: Session) -> None:
    """Remove the success events of resumed tasks that have not ended from the executor's buffer.

    A crash of the resumed try is still detected: without heartbeats, Airflow fails the task.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import or_, select

    successes = [
        key
        for key, (state, _) in executor.event_buffer.items()
        if isinstance(key, TaskInstanceKey) and state == TaskInstanceState.SUCCESS
    ]
    if not successes:
        return
    resumed = select(TaskInstance).where(
        cast("ColumnElement[bool]", TaskInstance.filter_for_tis(successes)),
        TaskInstance.state.in_(
            [TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED, TaskInstanceState.RUNNING]
        ),
        # Both exist from the pause until the end of the try, so they identify resumed tasks.
        or_(
            TaskInstance.next_method.is_not(None),
            select(TaskReschedule.id).where(TaskReschedule.ti_id == TaskInstance.id).exists(),
        ),
    )
    for instance in session.scalars(resumed):
        if executor.event_buffer.pop(instance.key, None):
            log.info("Ignored the executor's late event for the pause of %s", instance)
