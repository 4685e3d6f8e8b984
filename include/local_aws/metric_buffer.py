"""CloudWatch metrics put in batches by a thread of their own, so that no answer waits."""

import datetime
import logging
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.local_aws.config import Config

_BATCH_SECONDS = 0.2
"""Short, since an alarm's period may last but a second."""
_VALUES_PER_DATUM = 150  # CloudWatch's own limit
_DATA_PER_CALL = 500  # CloudWatch takes 1,000 at most
_log = logging.getLogger(__name__)

_Key = tuple[str, str, tuple[tuple[str, str], ...]]


class MetricBuffer:
    """The values of one namespace that wait to be put."""

    def __init__(self, config: Config, namespace: str) -> None:
        self._client = config.client("cloudwatch")
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
            for start in range(0, len(data), _DATA_PER_CALL):
                batch = data[start : start + _DATA_PER_CALL]
                try:
                    self._client.put_metric_data(Namespace=self._namespace, MetricData=batch)
                except (BotoCoreError, ClientError) as error:
                    _log.warning("%d metrics of %s were lost: %s", len(batch), self._namespace, error)

    def _take(self) -> list[dict[str, Any]]:
        with self._lock:
            waiting, self._values = self._values, defaultdict(list)
        now = datetime.datetime.now(datetime.UTC)
        data = []
        for (name, unit, dimensions), values in waiting.items():
            common = {
                "MetricName": name,
                "Unit": unit,
                "Timestamp": now,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
            }
            if unit == "Count":
                # A percentile of counts is asked by nobody; of durations it is, and needs each value.
                data.append({**common, "StatisticValues": _summary(values)})
                continue
            for start in range(0, len(values), _VALUES_PER_DATUM):
                data.append({**common, "Values": values[start : start + _VALUES_PER_DATUM]})
        return data


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "SampleCount": float(len(values)),
        "Sum": sum(values),
        "Minimum": min(values),
        "Maximum": max(values),
    }
