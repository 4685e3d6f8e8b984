"""Resume a task that waits for input although its question has an answer.

An answer that arrives while the task starts to wait can be missed: the API sees a task that does not wait yet, and the
task sees a question without an answer. Airflow 3.3.2 prevents this with row locks, which SQLite does not support. The
task then waits until its ``response_timeout``, or forever. No upstream issue is known.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


def expire_answered(session: Session) -> None:
    """Expire the timeout of each waiting task whose question has an answer, so that Airflow resumes it."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.timezone import utcnow
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    answered = (
        select(TaskInstance)
        .join(HITLDetail, HITLDetail.ti_id == TaskInstance.id)
        .where(TaskInstance.state == TaskInstanceState.AWAITING_INPUT, HITLDetail.responded_at.is_not(None))
    )
    for instance in session.scalars(answered):
        log.info("Resuming %s, which waits although its question has an answer", instance)
        instance.trigger_timeout = utcnow()
    session.flush()
