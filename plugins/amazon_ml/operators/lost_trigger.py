"""Look again, in the same try, when Airflow has lost the trigger that a task waits for."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferralTimeout

if TYPE_CHECKING:
    from airflow.sdk import Context

# A trigger ends its wait itself. This is the time that a restarted triggerer gets to do so after the deadline.
GRACE = timedelta(minutes=10)
# A wait without a deadline is looked at so often.
LONGEST_DEFERRAL = timedelta(hours=12)


def deferral_timeout(deadline: float | None) -> timedelta:
    """
    Return after what time Airflow ends a deferral whose trigger did not.

    :param deadline: When the trigger gives up, in seconds since the epoch; None for never.
    """
    if deadline is None:
        return LONGEST_DEFERRAL
    return min(timedelta(seconds=max(0.0, deadline - time.time())) + GRACE, LONGEST_DEFERRAL)


class LookAgainOperator(BaseOperator):
    """
    Begin again, in the same try, when a deferral times out.

    Airflow can lose a trigger and leave its task deferred for ever (apache/airflow#68792). With ``deferral_timeout``
    it resumes the task instead, and would fail the try.
    """

    def execute(self, context: Context) -> Any:
        """Begin."""
        return self.begin(context)

    def begin(self, context: Context) -> Any:
        """Find what an earlier try or attempt has begun in AWS, or begin it, and wait."""
        # Airflow logs a warning where an operator calls its own ``execute``.
        raise NotImplementedError

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            self.log.warning("The triggerer did not end this wait in time. Looking at AWS again.")
            return self.begin(context)
