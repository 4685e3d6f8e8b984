"""Reads the metrics of a training job out of its log lines."""

import math
import re
import threading
import time
from collections.abc import Sequence

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document


class MetricReader:
    """Keeps the values of each metric.

    :raises AwsError: when a definition's regular expression cannot be compiled or has no group
    """

    def __init__(self, definitions: Sequence[Document]) -> None:
        self._patterns = [
            (definition["Name"], _compiled(definition["Name"], definition["Regex"]))
            for definition in definitions
        ]
        self._lock = threading.Lock()
        self._last: dict[str, Document] = {}
        self._values: dict[str, list[float]] = {}

    def read(self, line: str) -> None:
        """Take the metrics in a line; what is no finite number is passed over."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                try:
                    value = float(match.group(1))
                except (TypeError, ValueError):
                    continue
                if math.isfinite(value):
                    with self._lock:
                        self._last[name] = {"MetricName": name, "Value": value, "Timestamp": time.time()}
                        self._values.setdefault(name, []).append(value)

    def values(self, name: str) -> list[float]:
        """Return all values of a metric, oldest first."""
        with self._lock:
            return list(self._values.get(name, []))

    def final(self) -> list[Document]:
        """Return the last value of each metric as ``FinalMetricDataList`` shows it."""
        with self._lock:
            return list(self._last.values())


def _compiled(name: str, regex: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise AwsError(
            "ValidationException", f"The regular expression {regex!r} of metric {name} is invalid: {error}."
        ) from error
    if pattern.groups < 1:
        raise AwsError(
            "ValidationException", f"The regular expression {regex!r} of metric {name} has no group."
        )
    return pattern
