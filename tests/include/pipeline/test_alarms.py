"""The endpoint's alarms on local AWS: created, updated, and raised by their metrics."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.local_aws.cloudwatch.metric_math import evaluate
from include.pipeline.alarms import alarm_names, put_alarms, put_release_alarms
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


def measure(cloudwatch: Any, project: Project, config: str | None = None, **sums: float) -> None:
    dimensions = [
        {"Name": "EndpointName", "Value": endpoint_name(project)},
        {"Name": "VariantName", "Value": VARIANT},
        *([{"Name": "EndpointConfigName", "Value": config}] if config else []),
    ]
    data = [{"MetricName": name, "Dimensions": dimensions, "Value": value} for name, value in sums.items()]
    cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def test_the_three_alarms_can_be_updated_with_other_limits(cloudwatch: Any, watched: Project) -> None:
    assert put_alarms(watched, cloudwatch) == alarm_names(watched)[:3]
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
def test_an_alarm_is_raised_by_its_metric(
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


MINUTE = {"errors": 0.0, "concurrent": 5.0, "requests": 100.0, "refused": 0.0, "median": 1e5, "slow": 2e5}
OLD = {"old_errors": 0.0, "old_requests": 900.0, "old_refused": 0.0, "old_slowest": 3e5}
NO_OLD = dict.fromkeys(OLD)
SLOW = 9e6  # microseconds; an alarm is above 5 s


@pytest.mark.parametrize(
    ("name", "minute", "breaches"),
    [
        # Callers affect both fleets.
        pytest.param("server-errors", {"errors": 5.0, "old_errors": 40.0}, False, id="callers break both"),
        pytest.param(
            "server-errors",
            {"errors": 90.0, "concurrent": 190.0},
            False,
            id="callers fill the new fleet's queue",
        ),
        pytest.param(
            "server-errors",
            {"errors": 90.0, "concurrent": 190.0, **NO_OLD},
            False,
            id="callers fill the queue after the last step",
        ),
        pytest.param("latency", {"slow": SLOW, "old_slowest": SLOW}, False, id="both are slow for callers"),
        pytest.param(
            "latency", {"slow": SLOW, **NO_OLD}, False, id="some callers are slow after the last step"
        ),
        pytest.param(
            "latency", {"median": SLOW, "requests": 19.0, **NO_OLD}, False, id="few callers, all slow"
        ),
        pytest.param("latency", {"slow": SLOW, "requests": 19.0}, False, id="few callers of the new fleet"),
        pytest.param(
            "client-errors", {"refused": 95.0, "old_refused": 850.0}, False, id="bad callers of both"
        ),
        pytest.param(
            "client-errors", {"refused": 95.0, **NO_OLD}, False, id="bad callers after the last step"
        ),
        pytest.param(
            "client-errors",
            {"refused": 4.0, "requests": 4.0, "old_refused": 0.0},
            False,
            id="a few bad callers",
        ),
        # The release affects only the new fleet.
        pytest.param("server-errors", {"errors": 1.0}, True, id="the new model fails"),
        pytest.param(
            "server-errors",
            {"errors": 1.0, "concurrent": None},
            True,
            id="it fails, without other metrics",
        ),
        pytest.param("server-errors", {"errors": 1.0, **NO_OLD}, True, id="it fails after the last step"),
        pytest.param(
            "server-errors", {"errors": 50.0, "old_errors": 9.0}, True, id="it fails far more often"
        ),
        pytest.param("latency", {"slow": SLOW}, True, id="the new model is slow"),
        pytest.param("latency", {"median": SLOW, **NO_OLD}, True, id="it is slow after the last step"),
        pytest.param(
            "client-errors", {"refused": 90.0, "old_refused": 40.0}, True, id="it refuses valid requests"
        ),
    ],
)
def test_only_its_own_errors_roll_back_a_release(
    cloudwatch: Any, watched: Project, name: str, minute: dict[str, float | None], breaches: bool
) -> None:
    put_release_alarms(watched, cloudwatch, "new-config", "old-config")
    alarm_name = f"{watched.name}-release-{name}"
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[alarm_name])["MetricAlarms"]
    value = evaluate(alarm["Metrics"][-1]["Expression"], {**MINUTE, **OLD, **minute})
    assert (value is not None and value > alarm["Threshold"]) == breaches
    assert alarm["TreatMissingData"] == "notBreaching"


def test_each_metric_of_a_release_alarm_is_that_of_one_fleet(cloudwatch: Any, watched: Project) -> None:
    names = put_release_alarms(watched, cloudwatch, "new-config", "old-config")
    for alarm in cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]:
        for query in alarm["Metrics"][:-1]:
            if query["Id"] == "concurrent":
                continue
            dimensions = {item["Name"]: item["Value"] for item in query["MetricStat"]["Metric"]["Dimensions"]}
            fleet = "old-config" if query["Id"].startswith("old_") else "new-config"
            assert dimensions == {
                "EndpointName": endpoint_name(watched),
                "VariantName": VARIANT,
                "EndpointConfigName": fleet,
            }


def test_concurrent_requests_are_those_of_both_fleets(cloudwatch: Any, watched: Project) -> None:
    for old_config in ("old-config", None):
        [name, *_] = put_release_alarms(watched, cloudwatch, "new-config", old_config)
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        [metric] = [query["MetricStat"] for query in alarm["Metrics"] if query["Id"] == "concurrent"]
        assert metric["Stat"] == "Maximum"
        assert metric["Metric"]["MetricName"] == "ConcurrentRequestsPerModel"
        assert {item["Name"] for item in metric["Metric"]["Dimensions"]} == {"EndpointName", "VariantName"}


def test_a_full_queue_does_not_raise_the_release_alarm(
    cloudwatch: Any, watched: Project, eventually: Callable[..., Any]
) -> None:
    [errors, *_] = put_release_alarms(watched, cloudwatch, "new-config", None)

    def is_judged() -> bool:
        measure(cloudwatch, watched, ConcurrentRequestsPerModel=150.0)
        measure(cloudwatch, watched, "new-config", Invocation5XXErrors=50.0)
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[errors])["MetricAlarms"]
        return alarm["StateValue"] == "OK"

    assert eventually(is_judged)


def test_without_an_old_fleet_nothing_is_compared(cloudwatch: Any, watched: Project) -> None:
    assert put_release_alarms(watched, cloudwatch, "new-config", None) == [
        f"{watched.name}-release-server-errors",
        f"{watched.name}-release-latency",
    ]


def test_only_server_errors_of_the_new_fleet_raise_the_release_alarm(
    cloudwatch: Any, watched: Project, eventually: Callable[..., Any]
) -> None:
    [errors, *_] = names = put_release_alarms(watched, cloudwatch, "new-config", None)

    def are_raised() -> list[str]:
        measure(cloudwatch, watched, "old-config", Invocation5XXErrors=3.0)
        measure(cloudwatch, watched, "new-config", Invocation5XXErrors=1.0)
        found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
        return [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]

    assert eventually(are_raised) == [errors]
    # The next release starts without a raised alarm.
    put_release_alarms(watched, cloudwatch, "newer-config", None)
    found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert "ALARM" not in [alarm["StateValue"] for alarm in found]
