"""A deadline reference that allows clearing a run while its deadline is pending.

With Airflow's ``DAGRUN_QUEUED_AT``, Clear fails with a TypeError until the deadline has passed. Since 3.3.0, the
interval is stored as JSON, but Clear expects a number (https://github.com/apache/airflow/issues/70368, proposed fix
https://github.com/apache/airflow/pull/70370).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk.definitions.deadline import BaseDeadlineReference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class RunQueuedAt(BaseDeadlineReference):
    """The time at which a run was first queued. Clear does not move the deadline."""

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        return session.scalar(
            select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        )
