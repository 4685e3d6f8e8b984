"""What CloudWatch and CloudWatch Logs answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


@pytest.fixture
def cloudwatch(client: Callable[[str], Any]) -> Any:
    return client("cloudwatch")


@pytest.fixture
def alarm(cloudwatch: Any, unique: str) -> Iterator[str]:
    """The name of an alarm of the test's own."""
    cloudwatch.put_metric_alarm(
        AlarmName=unique,
        Namespace="contract",
        MetricName=unique,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    yield unique
    cloudwatch.delete_alarms(AlarmNames=[unique])


def statistics(cloudwatch: Any, period: int, **times: datetime) -> list[Any]:
    now = datetime.now(UTC).replace(microsecond=0)
    times = {"StartTime": now - timedelta(days=1), "EndTime": now, **times}
    return cloudwatch.get_metric_statistics(
        Namespace="contract", MetricName="none", Period=period, Statistics=["Sum"], **times
    )["Datapoints"]


@pytest.mark.row("CW1")
def test_more_than_1440_points_are_refused(cloudwatch: Any, refused: Any) -> None:
    assert statistics(cloudwatch, 60) == []
    with refused("InvalidParameterCombination", "which exceeds the limit of 1"):
        statistics(cloudwatch, 30)


@pytest.mark.row("CW1")
def test_a_time_that_ends_before_it_begins_is_refused(cloudwatch: Any, refused: Any) -> None:
    with refused("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime."):
        statistics(cloudwatch, 60, StartTime=datetime.now(UTC) + timedelta(hours=1))


@pytest.mark.row("CW2")
def test_unknown_names_keep_no_alarm_from_being_deleted(cloudwatch: Any, alarm: str) -> None:
    with suppress(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.delete_alarms(AlarmNames=[alarm, f"{alarm}-unknown"])
    assert cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"] == []


@pytest.mark.row("CW3")
def test_the_state_of_an_unknown_alarm_is_not_set(cloudwatch: Any, unique: str, refused: Any) -> None:
    with refused("ResourceNotFound", status=404):
        cloudwatch.set_alarm_state(AlarmName=unique, StateValue="OK", StateReason="none")


@pytest.mark.row("CW4")
def test_an_alarm_begins_without_data(cloudwatch: Any, alarm: str) -> None:
    (found,) = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert found["StateValue"] == "INSUFFICIENT_DATA"


@pytest.mark.row("LG1")
@pytest.mark.makes("CloudWatch log groups")
def test_an_unknown_log_group_and_stream_are_not_found(
    client: Callable[[str], Any], unique: str, refused: Any
) -> None:
    logs = client("logs")
    with refused("ResourceNotFoundException", "The specified log group does not exist."):
        logs.describe_log_streams(logGroupName=unique)
    logs.create_log_group(logGroupName=unique)
    try:
        with refused("ResourceNotFoundException", "The specified log stream does not exist."):
            logs.get_log_events(logGroupName=unique, logStreamName="none")
    finally:
        logs.delete_log_group(logGroupName=unique)
    with refused("ResourceNotFoundException", "The specified log group does not exist."):
        logs.delete_log_group(logGroupName=unique)
