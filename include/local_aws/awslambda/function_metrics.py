"""A function's calls in CloudWatch, under the names that AWS gives them."""

from include.local_aws.config import Config
from include.local_aws.metric_buffer import MetricBuffer


class FunctionMetrics:
    """Metrics in AWS/Lambda: by function, and by function and the version or alias that was called."""

    def __init__(self, config: Config) -> None:
        self._buffer = MetricBuffer(config, "AWS/Lambda")

    def ran(
        self,
        name: str,
        qualifier: str | None,
        *,
        seconds: float,
        failed: bool,
        concurrent: int,
        provisioned: bool,
        spilled_over: bool,
    ) -> None:
        """Count a call that ran.

        :param concurrent: the calls of the function that ran when this one began, with it
        :param provisioned: whether an environment of provisioned concurrency ran it
        :param spilled_over: whether its target has provisioned concurrency, and all of it was busy
        """
        for metric, value, unit in (
            ("Invocations", 1.0, "Count"),
            ("Errors", float(failed), "Count"),
            ("Throttles", 0.0, "Count"),
            ("ConcurrentExecutions", float(concurrent), "Count"),
            ("Duration", seconds * 1000, "Milliseconds"),
        ):
            self._add(name, qualifier, metric, value, unit)
        if provisioned or spilled_over:
            self._add(name, qualifier, "ProvisionedConcurrencyInvocations", float(provisioned), "Count")
            self._add(
                name, qualifier, "ProvisionedConcurrencySpilloverInvocations", float(spilled_over), "Count"
            )

    def throttled(self, name: str, qualifier: str | None) -> None:
        """Count a call that was refused because too many ran; it is no invocation."""
        self._add(name, qualifier, "Throttles", 1.0, "Count")

    def close(self) -> None:
        """Stop sending."""
        self._buffer.close()

    def _add(self, name: str, qualifier: str | None, metric: str, value: float, unit: str) -> None:
        self._buffer.add(metric, value, unit, {"FunctionName": name})
        if qualifier:
            resource = {"FunctionName": name, "Resource": f"{name}:{qualifier}"}
            self._buffer.add(metric, value, unit, resource)
