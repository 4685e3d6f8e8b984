"""CloudWatch metrics put in batches by a thread of their own, so that no answer waits."""

import logging
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from include.local_aws.cloudwatch import moto_metrics
from include.local_aws.config import Config

_BATCH_SECONDS = 0.2
"""Short, since an alarm's period may last but a second."""
_log = logging.getLogger(__name__)

_Key = tuple[str, str, tuple[tuple[str, str], ...]]


class MetricBuffer:
    """The values of one namespace that wait to be put."""

    def __init__(self, config: Config, namespace: str) -> None:
        self._region = config.region
        self._namespace = namespace
        self._lock = threading.Lock()
        self._values: dict[_Key, list[float]] = defaultdict(list)
        self._closing = threading.Event()
        threading.Thread(target=self._send, daemon=True).start()

    def add(self, name: str, value: float, unit: str, dimensions: Mapping[str, str]) -> None:
        """Add a value of a metric; it can be read after a batch's time."""
        with self._lock:
            self._values[name, unit, tuple(dimensions.items())].append(value)

    def close(self) -> None:
        """Stop sending."""
        self._closing.set()

    def _send(self) -> None:
        while not self._closing.wait(_BATCH_SECONDS):
            data = self._take()
            if not data:
                continue
            try:
                moto_metrics.put(self._region, self._namespace, data)
            except Exception:
                _log.exception("%d metrics of %s were lost", len(data), self._namespace)

    def _take(self) -> list[dict[str, Any]]:
        with self._lock:
            waiting, self._values = self._values, defaultdict(list)
        data = []
        for (name, unit, dimensions), values in waiting.items():
            common: dict[str, Any] = {
                "MetricName": name,
                "Unit": unit,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
            }
            if unit == "Count":
                # A percentile of counts is asked by nobody; of durations it is, and needs each value.
                data.append({**common, "StatisticValues": _summary(values)})
                continue
            data.append({**common, "Values": values})
        return data


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "SampleCount": float(len(values)),
        "Sum": sum(values),
        "Minimum": min(values),
        "Maximum": max(values),
    }
