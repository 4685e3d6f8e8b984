"""Start over, in the same try, if Airflow loses the trigger of a deferred task."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferralTimeout

if TYPE_CHECKING:
    from airflow.sdk import Context

# A trigger ends its wait itself. This is the time that a restarted triggerer has for that after the deadline.
GRACE = timedelta(minutes=10)
# How often a wait without a deadline is checked.
LONGEST_DEFERRAL = timedelta(hours=12)


def deferral_timeout(deadline: float | None) -> timedelta:
    """
    Return after what time Airflow ends a deferral that the trigger did not end.

    :param deadline: When the trigger times out, in seconds since the epoch; None for never.
    """
    if deadline is None:
        return LONGEST_DEFERRAL
    return min(timedelta(seconds=max(0.0, deadline - time.time())) + GRACE, LONGEST_DEFERRAL)


class RestartOnLostTriggerOperator(BaseOperator):
    """
    Start over, in the same try, when a deferral times out.

    Airflow can lose a trigger and leave its task deferred forever (apache/airflow#68792). With ``deferral_timeout``,
    Airflow resumes the task instead, which would fail the try without this class.
    """

    def execute(self, context: Context) -> Any:
        """Start or continue the work in AWS."""
        return self.begin(context)

    def begin(self, context: Context) -> Any:
        """Adopt what an earlier try or attempt has started in AWS, or start it, and wait."""
        # Airflow logs a warning where an operator calls its own ``execute``.
        raise NotImplementedError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            self.log.warning("The triggerer did not end this wait in time. Checking the state in AWS again.")
            return self.begin(context)
