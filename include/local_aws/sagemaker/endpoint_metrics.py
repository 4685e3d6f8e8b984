"""An endpoint's invocations in CloudWatch, under the names that AWS gives them."""

from include.local_aws.config import Config
from include.local_aws.metric_buffer import MetricBuffer


class EndpointMetrics:
    """Invocations, errors and latencies in AWS/SageMaker.

    By endpoint and variant; and by endpoint, variant and endpoint configuration, by which an alarm can look
    at the new fleet of a deployment alone.
    """

    def __init__(self, config: Config) -> None:
        self._buffer = MetricBuffer(config, "AWS/SageMaker")

    def put(
        self,
        *,
        endpoint: str,
        variant: str,
        endpoint_config: str,
        instances: int,
        concurrent: int,
        status: int,
        model_seconds: float,
        overhead_seconds: float,
    ) -> None:
        """Count one invocation.

        :param instances: those of the variant
        :param concurrent: requests that the instance had when this one came, this one included
        :param status: what the model answered with; 0 stands for no answer
        :param model_seconds: what the model's process took
        :param overhead_seconds: what passed beside that until the answer
        """
        by_variant = {"EndpointName": endpoint, "VariantName": variant}
        for dimensions in (by_variant, by_variant | {"EndpointConfigName": endpoint_config}):
            for name, value, unit in (
                ("Invocations", 1.0, "Count"),
                ("InvocationsPerInstance", 1.0 / max(instances, 1), "Count"),
                ("Invocation4XXErrors", float(400 <= status < 500), "Count"),
                ("Invocation5XXErrors", float(status == 0 or status >= 500), "Count"),
                ("ModelLatency", model_seconds * 1e6, "Microseconds"),
                ("OverheadLatency", overhead_seconds * 1e6, "Microseconds"),
            ):
                self._buffer.add(name, value, unit, dimensions)
        # Its maximum is of interest. AWS lists it by endpoint and variant alone.
        self._buffer.add("ConcurrentRequestsPerModel", float(concurrent), "Count", by_variant)

    def close(self) -> None:
        """Stop sending."""
        self._buffer.close()
