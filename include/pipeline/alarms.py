"""CloudWatch alarms on the endpoint."""

from __future__ import annotations

from typing import Any

from include.pipeline.names import VARIANT, endpoint_name, tag_list
from include.pipeline.settings import Project

MAX_LATENCY_MICROSECONDS = 5_000_000


def put_alarms(project: Project, cloudwatch: Any) -> list[str]:
    """Create or update the endpoint's alarms: any 5XX answer, and a slow 99th percentile. Returns their names."""
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint_name(project)},
        {"Name": "VariantName", "Value": VARIANT},
    ]
    common: dict[str, Any] = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": dimensions,
        "Period": 60,
        "TreatMissingData": "notBreaching",  # no request, no alarm
        "Tags": tag_list(project),
    }
    errors, latency = alarm_names(project)
    cloudwatch.put_metric_alarm(
        AlarmName=errors,
        AlarmDescription="The endpoint answered with a server error.",
        MetricName="Invocation5XXErrors",
        Statistic="Sum",
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        **common,
    )
    cloudwatch.put_metric_alarm(
        AlarmName=latency,
        AlarmDescription="One request in a hundred took the model more than 5 seconds.",
        MetricName="ModelLatency",
        ExtendedStatistic="p99",
        EvaluationPeriods=3,
        Threshold=MAX_LATENCY_MICROSECONDS,
        ComparisonOperator="GreaterThanThreshold",
        **common,
    )
    return [errors, latency]


def alarm_names(project: Project) -> list[str]:
    return [f"{endpoint_name(project)}-server-errors", f"{endpoint_name(project)}-latency"]
