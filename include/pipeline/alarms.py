"""CloudWatch alarms on the endpoint: they are shown, and an update that raises one is taken back."""

from __future__ import annotations

from typing import Any

from include.pipeline.names import VARIANT, endpoint_name, tag_list
from include.pipeline.settings import Project

PERIOD_SECONDS = 60
FEW_REQUESTS = 20
"""A minute's requests to which as many good ones are added, so that one bad request of two is no alarm."""


def put_alarms(project: Project, cloudwatch: Any, topic: str | None = None) -> list[str]:
    """Create or update the endpoint's alarms: 5XX answers, a slow 99th percentile, many 4XX answers.

    :param topic: the SNS topic that is told of each alarm; None: nobody is.
    :return: their names.
    """
    limits = project.alarms
    common: dict[str, Any] = {
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",  # no request, no alarm
        "AlarmActions": [topic] if topic else [],
        "Tags": tag_list(project),
    }
    errors, latency, refusals = alarm_names(project)
    cloudwatch.put_metric_alarm(
        AlarmName=errors,
        AlarmDescription=f"The endpoint answered more than {limits.max_server_errors} requests of a minute by a 5XX.",
        **_metric(project, "Invocation5XXErrors"),
        Statistic="Sum",
        Period=PERIOD_SECONDS,
        EvaluationPeriods=1,
        Threshold=limits.max_server_errors,
        **common,
    )
    cloudwatch.put_metric_alarm(
        AlarmName=latency,
        AlarmDescription=f"One request in a hundred took the model more than {limits.max_latency_ms:g} ms.",
        **_metric(project, "ModelLatency"),
        ExtendedStatistic="p99",
        Period=PERIOD_SECONDS,
        EvaluationPeriods=3,
        Threshold=limits.max_latency_ms * 1000,  # the metric is in microseconds
        **common,
    )
    cloudwatch.put_metric_alarm(
        AlarmName=refusals,
        AlarmDescription=f"More than {limits.max_client_error_percent:g} % of the requests got a 4XX.",
        Metrics=[
            _sum(project, "refused", "Invocation4XXErrors"),
            _sum(project, "invocations", "Invocations"),
            {
                "Id": "share",
                "Label": "4XX answers in percent",
                "Expression": f"100 * refused / (invocations + {FEW_REQUESTS})",
                "ReturnData": True,
            },
        ],
        EvaluationPeriods=2,
        Threshold=limits.max_client_error_percent,
        **common,
    )
    return [errors, latency, refusals]


def alarm_names(project: Project) -> list[str]:
    return [f"{endpoint_name(project)}-{what}" for what in ("server-errors", "latency", "client-errors")]


def _metric(project: Project, name: str) -> dict[str, Any]:
    dimensions = {"EndpointName": endpoint_name(project), "VariantName": VARIANT}
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _sum(project: Project, metric_id: str, name: str) -> dict[str, Any]:
    """One metric of an alarm that computes with several."""
    statistic = {"Metric": _metric(project, name), "Period": PERIOD_SECONDS, "Stat": "Sum"}
    return {"Id": metric_id, "MetricStat": statistic, "ReturnData": False}
