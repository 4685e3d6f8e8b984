"""Distinguish transient AWS errors from permanent ones, and back off while they last."""

from __future__ import annotations

import time

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

TRANSIENT_CODES = frozenset(
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
MAX_DELAY_SECONDS = 120.0


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may succeed: after throttling, a broken connection or an internal error of AWS."""
    if isinstance(error, ClientError):
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response["Error"]["Code"] in TRANSIENT_CODES or http_status >= 500
    if isinstance(error, BotoCoreError):
        return isinstance(error, (BotoConnectionError, HTTPClientError))
    return isinstance(error, (OSError, TimeoutError))


class TransientBackoff:
    """
    Exponential backoff for transient errors; errors that last for 15 minutes without a success are permanent.

    :param poll_interval: The delay before the first retry, in seconds. Each further delay is twice as long.
    """

    def __init__(self, poll_interval: float) -> None:
        self.poll_interval = poll_interval
        self._since: float | None = None
        self._next_delay = poll_interval

    def reset(self) -> None:
        """Start from the first delay again, after a successful call."""
        self._since = None
        self._next_delay = self.poll_interval

    def next_delay(self, error: Exception) -> float:
        """
        Return the delay before the next attempt, in seconds.

        :raises Exception: The error itself, if it is permanent or has lasted too long.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not is_transient(error) or now - self._since >= LIMIT_SECONDS:
            raise error
        delay, self._next_delay = (
            self._next_delay,
            min(self._next_delay * 2, max(self.poll_interval, MAX_DELAY_SECONDS)),
        )
        return delay
