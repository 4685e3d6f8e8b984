"""Ignore the executor's report of a pause when it reaches the scheduler after the task was resumed.

A task that defers, or waits for a person, ends its process, and the executor reports that end as a success. If the task
is resumed before the scheduler reads the report, Airflow 3.3.2 logs "state mismatch" and fails the try.

* State ``queued``: https://github.com/apache/airflow/issues/67287, fixed on Airflow's main branch by
  https://github.com/apache/airflow/pull/68741. Version 3.3.2 is without the fix.
* State ``running``: https://github.com/apache/airflow/issues/72716. No release has a fix. Proposed fixes are
  https://github.com/apache/airflow/pull/72767 and https://github.com/apache/airflow/pull/73546.
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
