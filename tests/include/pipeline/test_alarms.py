"""The endpoint's alarms on local AWS: made, replaced, and raised by what they watch."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.pipeline.alarms import alarm_names, put_alarms
from include.pipeline.names import VARIANT, endpoint_name
from include.pipeline.settings import Alarms, Project


@pytest.fixture
def watched() -> Project:
    return Project(name=f"p{uuid.uuid4().hex[:8]}", description="x", poll_seconds=1)


@pytest.fixture
def cloudwatch(local_aws: Any, watched: Project) -> Iterator[Any]:
    client = local_aws.client("cloudwatch")
    yield client
    client.delete_alarms(AlarmNames=alarm_names(watched))


def states(cloudwatch: Any, project: Project) -> dict[str, str]:
    found = cloudwatch.describe_alarms(AlarmNames=alarm_names(project))["MetricAlarms"]
    return {alarm["AlarmName"].removeprefix(f"{project.name}-"): alarm["StateValue"] for alarm in found}


def measure(cloudwatch: Any, project: Project, **sums: float) -> None:
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint_name(project)},
        {"Name": "VariantName", "Value": VARIANT},
    ]
    data = [{"MetricName": name, "Dimensions": dimensions, "Value": value} for name, value in sums.items()]
    cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def test_there_are_three_and_they_can_be_put_again_with_other_limits(
    cloudwatch: Any, watched: Project
) -> None:
    assert put_alarms(watched, cloudwatch) == alarm_names(watched)
    stricter = watched.model_copy(update={"alarms": Alarms(max_latency_ms=250, max_server_errors=3)})
    put_alarms(stricter, cloudwatch, topic="arn:aws:sns:us-east-1:123456789012:told")
    found = cloudwatch.describe_alarms(AlarmNames=alarm_names(watched))["MetricAlarms"]
    limits = {alarm["AlarmName"].removeprefix(f"{watched.name}-"): alarm["Threshold"] for alarm in found}
    assert limits == {"server-errors": 3, "latency": 250_000, "client-errors": 50}
    assert all(alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:123456789012:told"] for alarm in found)


@pytest.mark.parametrize(
    ("measured", "raised"),
    [
        pytest.param({"Invocation5XXErrors": 1.0}, "server-errors", id="one 5XX"),
        pytest.param({"Invocations": 100.0, "Invocation4XXErrors": 90.0}, "client-errors", id="many 4XX"),
        # The metric is in microseconds.
        pytest.param({"ModelLatency": 6_000_000.0}, "latency", id="slow answers"),
    ],
)
def test_an_alarm_is_raised_by_what_it_watches(
    cloudwatch: Any,
    watched: Project,
    eventually: Callable[..., Any],
    measured: dict[str, float],
    raised: str,
) -> None:
    put_alarms(watched, cloudwatch)

    def are_raised() -> list[str]:
        measure(cloudwatch, watched, **measured)  # again in each period
        return [name for name, state in states(cloudwatch, watched).items() if state == "ALARM"]

    assert eventually(are_raised) == [raised]
