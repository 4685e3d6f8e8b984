"""Check that this machine's clock is accurate enough to sign requests to AWS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.errors import PermanentError

log = logging.getLogger(__name__)

MAX_SKEW_SECONDS = 300.0
"""AWS refuses requests whose signature is more than 5 minutes off its own time:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html"""
WARN_SKEW_SECONDS = 60.0


class ClockError(PermanentError):
    """Raised if the clock is wrong; the message says by how much."""


def ask(call: Callable[[], Any], progress: Callable[[str], None] = log.warning) -> Any:
    """Call AWS, compare its time with this machine's, and return the answer.

    :param call: a call of boto3.
    :param progress: receives a warning about a smaller difference.
    :raises ClockError: if AWS refuses requests with such a difference, even if it accepted this one.
    """
    try:
        answer = call()
    except ClientError as error:
        _check(error.response, progress)
        raise
    _check(answer, progress)
    return answer


def _check(answer: Mapping[str, Any], progress: Callable[[str], None]) -> None:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        return
    skew = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    difference = (
        f"The clock of this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} that of AWS"
    )
    if abs(skew) > MAX_SKEW_SECONDS:
        raise ClockError(
            f"{difference}. AWS refuses requests signed more than {MAX_SKEW_SECONDS / 60:.0f} minutes off. "
            "Set the clock of the machine that Airflow's workers run on, preferably with NTP."
        )
    if abs(skew) > WARN_SKEW_SECONDS:
        progress(
            f"{difference}. AWS refuses requests signed more than {MAX_SKEW_SECONDS / 60:.0f} minutes off. "
            "Set the clock, preferably with NTP."
        )
