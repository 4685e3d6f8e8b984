"""The plan of an endpoint's update."""

from typing import Any

import pytest

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.traffic_shifting import Plan, plan


def deployment(kind: str, size: tuple[str, int] | None = None, **policy: Any) -> dict[str, Any]:
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": 60}
    if size:
        member = "CanarySize" if kind == "CANARY" else "LinearStepSize"
        routing[member] = {"Type": size[0], "Value": size[1]}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def planned(members: dict[str, Any], instances: int = 4) -> Plan:
    return plan(members, [{"VariantName": "only", "DesiredInstanceCount": instances}])


def test_without_a_policy_all_traffic_shifts_at_once() -> None:
    assert planned({}) == Plan((1.0,), 0, 0, ())


@pytest.mark.parametrize(
    ("kind", "size", "shares"),
    [
        ("ALL_AT_ONCE", None, (1.0,)),
        ("CANARY", ("CAPACITY_PERCENT", 25), (0.25, 1.0)),
        ("CANARY", ("INSTANCE_COUNT", 2), (0.5, 1.0)),
        ("LINEAR", ("CAPACITY_PERCENT", 30), (0.25, 0.5, 0.75, 1.0)),
        ("LINEAR", ("CAPACITY_PERCENT", 50), (0.5, 1.0)),
        ("LINEAR", ("INSTANCE_COUNT", 1), (0.25, 0.5, 0.75, 1.0)),
    ],
)
def test_traffic_shifts_in_steps_of_the_size(
    kind: str, size: tuple[str, int] | None, shares: tuple[float, ...]
) -> None:
    assert planned(deployment(kind, size)).shares == pytest.approx(shares)


def test_waits_and_alarms_are_those_of_the_request() -> None:
    members = deployment("ALL_AT_ONCE", TerminationWaitInSeconds=120, MaximumExecutionTimeoutInSeconds=600)
    members["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": "slow"}, {"AlarmName": "errors"}]}
    assert planned(members) == Plan((1.0,), 60, 120, ("slow", "errors"))


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (deployment("CANARY"), "type CANARY needs CanarySize"),
        (deployment("LINEAR"), "type LINEAR needs LinearStepSize"),
        (deployment("CANARY", ("CAPACITY_PERCENT", 51)), "CanarySize must be 1 to 50 percent"),
        (deployment("CANARY", ("INSTANCE_COUNT", 3)), "are 75 percent of 4"),
        (deployment("CANARY", ("CAPACITY_PERCENT", 24)), "24 percent of 4 instances, which is less than one"),
        (deployment("LINEAR", ("CAPACITY_PERCENT", 9)), "LinearStepSize must be 10 to 50 percent"),
        (
            deployment("ALL_AT_ONCE", TerminationWaitInSeconds=540, MaximumExecutionTimeoutInSeconds=600),
            "must be larger than the 600 seconds",
        ),
        ({"RollingUpdatePolicy": {}}, "RollingUpdatePolicy is not supported"),
    ],
)
def test_what_aws_would_refuse_is_refused(members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AwsError, match=sentence) as caught:
        planned(members)
    assert caught.value.code == "ValidationException"
