"""CloudWatch metrics of invocations, put in batches by a thread of their own so that no answer waits."""

import datetime
import logging
import queue
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.local_aws.config import Config

_BATCH_SECONDS = 1.0
_DATA_PER_CALL = 500  # CloudWatch takes 1,000 at most
_log = logging.getLogger(__name__)


class EndpointMetrics:
    """Invocations, ModelLatency (microseconds) and errors by endpoint and variant, in AWS/SageMaker."""

    def __init__(self, config: Config) -> None:
        self._client = config.client("cloudwatch")
        self._data: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._closing = threading.Event()
        threading.Thread(target=self._send, daemon=True).start()

    def put(self, endpoint: str, variant: str, status: int, seconds: float) -> None:
        """Count one invocation; status 0 stands for no answer."""
        now = datetime.datetime.now(datetime.UTC)
        for name, value, unit in (
            ("Invocations", 1.0, "Count"),
            ("ModelLatency", seconds * 1e6, "Microseconds"),
            ("Invocation4XXErrors", float(400 <= status < 500), "Count"),
            ("Invocation5XXErrors", float(status == 0 or status >= 500), "Count"),
        ):
            self._data.put(
                {
                    "MetricName": name,
                    "Value": value,
                    "Unit": unit,
                    "Timestamp": now,
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint},
                        {"Name": "VariantName", "Value": variant},
                    ],
                }
            )

    def close(self) -> None:
        """Stop sending."""
        self._closing.set()

    def _send(self) -> None:
        while not self._closing.wait(_BATCH_SECONDS):
            while not self._data.empty():
                batch = [self._data.get() for _ in range(min(self._data.qsize(), _DATA_PER_CALL))]
                try:
                    self._client.put_metric_data(Namespace="AWS/SageMaker", MetricData=batch)
                except (BotoCoreError, ClientError) as error:
                    _log.warning("%d metric values were lost: %s", len(batch), error)
