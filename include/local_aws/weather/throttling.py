"""Which calls are throttled, and how each service says so."""

import threading
from collections import Counter

from include.local_aws.errors import AwsError

EVERY = 10
BURSTS = (1, 3)
"""How many calls in a row are refused, in turn: with one, a single retry is enough, with three it is not."""
S3_EVERY = 50
"""S3 is throttled by its request rate, which is high, so few calls are refused, and no two in a row."""

# https://docs.aws.amazon.com/awssupport/latest/user/troubleshooting-throttling.html and the services' models.
_RATE = "Rate exceeded"
_ERRORS: dict[str, tuple[str, str, int]] = {
    "application-autoscaling": ("ThrottlingException", _RATE, 400),
    "cloudformation": ("Throttling", _RATE, 400),
    "cloudwatch": ("Throttling", _RATE, 400),
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "lambda": ("TooManyRequestsException", _RATE, 429),
    "logs": ("ThrottlingException", _RATE, 400),
    "resourcegroupstaggingapi": ("ThrottledException", _RATE, 400),
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "sagemaker": ("ThrottlingException", _RATE, 400),
    "ssm": ("ThrottlingException", _RATE, 400),
}
# What callers of the product do: limits of its own apply there.
_DATA_PLANE = {("lambda", "Invoke"), ("lambda", "InvokeWithResponseStream"), ("lambda", "InvokeAsync")}


class Throttle:
    """Counts the calls of each operation, and refuses every so many, beginning with the first."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def refusal(self, service: str, operation: str) -> AwsError | None:
        """Count a call; return the error if it is refused."""
        if service not in _ERRORS or (service, operation) in _DATA_PLANE:
            return None
        with self._lock:
            number = self._calls[service, operation]
            self._calls[service, operation] += 1
        every, bursts = (S3_EVERY, (1,)) if service == "s3" else (EVERY, BURSTS)
        turn, position = divmod(number, every)
        return AwsError(*_ERRORS[service]) if position < bursts[turn % len(bursts)] else None
