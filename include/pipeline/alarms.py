"""CloudWatch alarms on the endpoint: three that notify people, and those that roll back a release.

Alarms that roll back a release may count only what the release can cause. Otherwise, any caller could veto it.
They use the metrics of the new fleet only. If the old fleet has traffic too, they compare the new fleet with it.
SageMaker splits the traffic at random, and publishes the metrics of each fleet under its endpoint configuration
(https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html).
"""

from __future__ import annotations

from typing import Any

from include.aws.documents import AwsRequest
from include.pipeline.names import VARIANT, endpoint_name, tag_list
from include.pipeline.settings import Project

PERIOD_SECONDS = 60
FEW_REQUESTS = 20
"""Added to the requests of a minute, so that one failed request of two raises no alarm. With fewer requests than this,
a percentile has no meaning."""
RELEASE = "release-"
FULL_QUEUE = 100
"""From this number of concurrent requests on, the serving container of an instance may answer 503 because its queue is
full."""
CHANCE = 3
"""Because the traffic is split at random, the new fleet may get this many times its share of the errors."""


def put_alarms(project: Project, cloudwatch: Any, topic: str | None = None) -> list[str]:
    """Create or update the alarms that notify people: 5XX responses, a slow 99th percentile, many 4XX responses.

    :param topic: the ARN of the SNS topic that each alarm notifies; None for no notification.
    :return: the names of the alarms.
    """
    limits = project.alarms
    common: AwsRequest = {
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",  # no request, no alarm
        "AlarmActions": [topic] if topic else [],
        "Tags": tag_list(project),
    }
    errors, latency, refusals = _names(project)
    cloudwatch.put_metric_alarm(
        AlarmName=errors,
        AlarmDescription=f"The endpoint returned more than {limits.max_server_errors} 5XX responses in a minute "
        "(503 if its queue was full).",
        **_metric(project, "Invocation5XXErrors"),
        Statistic="Sum",
        Period=PERIOD_SECONDS,
        EvaluationPeriods=1,
        Threshold=limits.max_server_errors,
        **common,
    )
    cloudwatch.put_metric_alarm(
        AlarmName=latency,
        AlarmDescription=f"The model took more than {limits.max_latency_ms:g} ms for one request in a hundred.",
        **_metric(project, "ModelLatency"),
        ExtendedStatistic="p99",
        Period=PERIOD_SECONDS,
        EvaluationPeriods=3,
        Threshold=limits.max_latency_ms * 1000,  # the metric is in microseconds
        **common,
    )
    cloudwatch.put_metric_alarm(
        AlarmName=refusals,
        AlarmDescription=f"More than {limits.max_client_error_percent:g} % of the requests got a 4XX response.",
        Metrics=[
            _input(project, "refused", "Invocation4XXErrors"),
            _input(project, "invocations", "Invocations"),
            {
                "Id": "share",
                "Label": "4XX responses in percent",
                "Expression": f"100 * refused / (invocations + {FEW_REQUESTS})",
                "ReturnData": True,
            },
        ],
        EvaluationPeriods=2,
        Threshold=limits.max_client_error_percent,
        **common,
    )
    return [errors, latency, refusals]


def put_release_alarms(
    project: Project, cloudwatch: Any, new_config: str, old_config: str | None
) -> list[str]:
    """Create or update the alarms that roll back a release.

    They watch the server errors and the latency of the new fleet, and its 4XX responses if it can be compared with the
    old fleet.

    :param new_config: the endpoint configuration that is released.
    :param old_config: the endpoint configuration in service; None if it does not exist, or gets no traffic during the
        release.
    :return: the names of the alarms.
    """
    limits = project.alarms
    errors, latency, refusals = _names(project, RELEASE)
    # An updated alarm keeps its state: an alarm that the previous release raised would end this release at once.
    before = cloudwatch.describe_alarms(AlarmNames=[errors, latency, refusals])["MetricAlarms"]
    if before:
        cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"] for alarm in before])
    metrics = _Fleets(project, new_config, old_config)
    _put_expression(
        project,
        cloudwatch,
        errors,
        "The released model returned more 5XX responses in a minute than allowed, and more than the previous model.",
        metrics.errors_beyond_the_old(),
        periods=1,
        threshold=limits.max_server_errors,
    )
    _put_expression(
        project,
        cloudwatch,
        latency,
        f"The released model takes more than {limits.max_latency_ms:g} ms, and more than the previous model.",
        metrics.latency_beyond_the_old(),
        periods=3,
        threshold=limits.max_latency_ms * 1000,
    )
    if old_config is None:
        return [errors, latency]
    _put_expression(
        project,
        cloudwatch,
        refusals,
        f"The released model returns 4XX responses to {limits.max_client_error_percent:g} % more of the requests.",
        metrics.refusals_beyond_the_old(),
        periods=2,
        threshold=limits.max_client_error_percent,
    )
    return [errors, latency, refusals]


class _Fleets:
    """The metrics of the two fleets of an update, and the expressions over them."""

    def __init__(self, project: Project, new_config: str, old_config: str | None) -> None:
        self.project, self.new_config, self.old_config = project, new_config, old_config

    def errors_beyond_the_old(self) -> list[AwsRequest]:
        # SageMaker counts the 503 of a full queue as a 5XX, and has no separate metric for it. A burst of requests is
        # not caused by the release. A release that is too slow for its requests raises the latency alarm.
        new = [
            self._new("errors", "Invocation5XXErrors"),
            _input(self.project, "concurrent", "ConcurrentRequestsPerModel", "Maximum"),
        ]
        busy = f"FILL(concurrent, 0) >= {FULL_QUEUE}"
        if self.old_config is None:
            return [*new, _result(f"IF({busy}, 0, errors)")]
        return [
            *new,
            self._new("requests", "Invocations"),
            self._old("old_errors", "Invocation5XXErrors"),
            self._old("old_requests", "Invocations"),
            _result(f"IF({busy}, 0, errors - {CHANCE} * FILL(old_errors * requests / old_requests, 0))"),
        ]

    def latency_beyond_the_old(self) -> list[AwsRequest]:
        # Without a comparison, use the median: image URLs that are slow to fetch raise it only if they are most of
        # the requests.
        median = f"IF(requests >= {FEW_REQUESTS}, median, 0)"
        new = [self._new("requests", "Invocations"), self._new("median", "ModelLatency", "p50")]
        if self.old_config is None:
            return [*new, _result(median)]
        return [
            *new,
            self._new("slow", "ModelLatency", "p90"),
            self._old("old_requests", "Invocations"),
            self._old("old_slowest", "ModelLatency", "p99"),
            _result(
                f"IF(FILL(old_requests, 0) >= {FEW_REQUESTS}, "
                f"IF(requests >= {FEW_REQUESTS}, IF(slow > FILL(old_slowest, 0), slow, 0), 0), {median})"
            ),
        ]

    def refusals_beyond_the_old(self) -> list[AwsRequest]:
        return [
            self._new("refused", "Invocation4XXErrors"),
            self._new("requests", "Invocations"),
            self._old("old_refused", "Invocation4XXErrors"),
            self._old("old_requests", "Invocations"),
            _result(f"100 * refused / (requests + {FEW_REQUESTS}) - 100 * old_refused / old_requests"),
        ]

    def _new(self, metric_id: str, name: str, statistic: str = "Sum") -> AwsRequest:
        return _input(self.project, metric_id, name, statistic, self.new_config)

    def _old(self, metric_id: str, name: str, statistic: str = "Sum") -> AwsRequest:
        return _input(self.project, metric_id, name, statistic, self.old_config)


def _put_expression(
    project: Project,
    cloudwatch: Any,
    name: str,
    description: str,
    metrics: list[AwsRequest],
    *,
    periods: int,
    threshold: float,
) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmDescription=description,
        Metrics=metrics,
        EvaluationPeriods=periods,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        Tags=tag_list(project),
    )


def alarm_names(project: Project) -> list[str]:
    """Return the names of all alarms that a project can have."""
    return [*_names(project), *_names(project, RELEASE)]


def _names(project: Project, kind: str = "") -> list[str]:
    return [
        f"{endpoint_name(project)}-{kind}{what}" for what in ("server-errors", "latency", "client-errors")
    ]


def _metric(project: Project, name: str, config: str | None = None) -> AwsRequest:
    dimensions = {"EndpointName": endpoint_name(project), "VariantName": VARIANT}
    if config is not None:
        dimensions["EndpointConfigName"] = config
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _input(
    project: Project, metric_id: str, name: str, statistic: str = "Sum", config: str | None = None
) -> AwsRequest:
    """Return one metric of an alarm on a metric math expression."""
    stat = {"Metric": _metric(project, name, config), "Period": PERIOD_SECONDS, "Stat": statistic}
    return {"Id": metric_id, "MetricStat": stat, "ReturnData": False}


def _result(expression: str) -> AwsRequest:
    return {"Id": "result", "Expression": expression, "ReturnData": True}
