"""Tell a trouble with AWS that passes by itself from one that has to be reported."""

from __future__ import annotations

import time

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

PASSING_CODES = frozenset(
    {
        "InternalDependencyException",
        "InternalFailure",
        "InternalServerError",
        "ModelNotReadyException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        # A new client gets new credentials.
        "ExpiredToken",
        "ExpiredTokenException",
    }
)
LIMIT_SECONDS = 15 * 60.0
LONGEST_PAUSE_SECONDS = 120.0


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed later: throttling, a broken connection, or a fault of AWS's own."""
    if isinstance(error, ClientError):
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response["Error"]["Code"] in PASSING_CODES or http_status >= 500
    if isinstance(error, BotoCoreError):
        return isinstance(error, (BotoConnectionError, HTTPClientError))
    return isinstance(error, (OSError, TimeoutError))


class Outage:
    """
    Back off while AWS does not answer; trouble of 15 minutes without a break is taken for a lasting one.

    :param poll_interval: seconds before the first repetition; each further one waits twice as long.
    """

    def __init__(self, poll_interval: float) -> None:
        self.poll_interval = poll_interval
        self._since: float | None = None
        self._pause = poll_interval

    def over(self) -> None:
        """Note that AWS has answered."""
        self._since = None
        self._pause = self.poll_interval

    def pause(self, error: Exception) -> float:
        """
        Return the seconds to wait before the next attempt.

        :raises Exception: the error itself, if it does not pass by itself or has lasted too long.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not is_passing(error) or now - self._since >= LIMIT_SECONDS:
            raise error
        pause, self._pause = self._pause, min(self._pause * 2, max(self.poll_interval, LONGEST_PAUSE_SECONDS))
        return pause
