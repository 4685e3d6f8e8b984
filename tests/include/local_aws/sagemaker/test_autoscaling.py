"""Application Auto Scaling: policies that moto stores change the number of serving processes.

The server's window is 3 seconds here, so 20 seconds of cooldown last 1.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.local_aws.sagemaker.autoscaling import wanted_instances


@pytest.fixture
def scale(local_aws: Any, endpoint: str) -> Iterator[Callable[..., None]]:
    """Register the endpoint's variant with a policy of 60 invocations per instance per minute."""
    client = local_aws.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/blue",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }

    def register(capacity: tuple[int, int], suspended: bool = False, **cooldowns: int) -> None:
        client.register_scalable_target(
            **target,
            MinCapacity=capacity[0],
            MaxCapacity=capacity[1],
            SuspendedState={"DynamicScalingOutSuspended": suspended},
        )
        client.put_scaling_policy(
            **target,
            PolicyName="invocations",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 60.0,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                },
                **cooldowns,
            },
        )

    yield register
    client.deregister_scalable_target(**target)


@pytest.fixture
def instances(sagemaker: Any, endpoint: str) -> Callable[[], int]:
    def count() -> int:
        [variant] = sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
        return variant["CurrentInstanceCount"]

    return count


@pytest.fixture
def activities(local_aws: Any, endpoint: str) -> Callable[[], list[dict[str, Any]]]:
    """Return what scaling did to the endpoint, the newest first."""
    client = local_aws.client("application-autoscaling")

    def describe() -> list[dict[str, Any]]:
        return client.describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=f"endpoint/{endpoint}/variant/blue"
        )["ScalingActivities"]

    return describe


def test_traffic_scales_out_to_the_maximum_and_silence_in_after_the_cooldown(
    scale: Callable[..., None],
    instances: Callable[[], int],
    activities: Callable[[], list[dict[str, Any]]],
    invoke: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    scale((1, 2), ScaleOutCooldown=0, ScaleInCooldown=100)
    for _ in range(30):  # 600 a minute, which would be ten instances
        invoke()
    eventually(lambda: instances() == 2)
    assert len({invoke()["pid"] for _ in range(4)}) == 2
    eventually(lambda: [each["StatusCode"] for each in activities()] == ["Successful"] * 2, 60)
    scaled_in, scaled_out = activities()
    assert instances() == 1
    # 100 seconds, scaled with the window.
    assert (scaled_in["StartTime"] - scaled_out["StartTime"]).total_seconds() > 4.9
    assert scaled_out["EndTime"] > scaled_out["StartTime"]
    assert scaled_out["Description"] == "Setting desired instance count to 2."
    assert scaled_in["Description"] == "Setting desired instance count to 1."
    assert re.match(r"1 instances had \d+ invocations a minute; 1 to 2 instances are", scaled_out["Cause"])
    assert "Change successfully fulfilled by sagemaker" in scaled_out["StatusMessage"]


def test_a_variant_grows_to_its_minimum_unless_scaling_out_is_suspended(
    scale: Callable[..., None],
    instances: Callable[[], int],
    activities: Callable[[], list[dict[str, Any]]],
    eventually: Callable[..., Any],
) -> None:
    scale((2, 3), suspended=True)
    time.sleep(1.5)
    assert instances() == 1
    assert activities() == []
    scale((2, 3), suspended=False)
    eventually(lambda: instances() == 2)


@pytest.mark.parametrize(
    ("per_minute", "count", "policy", "since", "wanted"),
    [
        pytest.param(200, 2, {}, 999, 4, id="out"),
        pytest.param(200, 2, {"ScaleOutCooldown": 60}, 59, 2, id="out, cooling down"),
        pytest.param(200, 2, {"ScaleOutCooldown": 60}, 60, 4, id="out, cooled down"),
        pytest.param(50, 3, {}, 999, 1, id="in"),
        pytest.param(50, 3, {}, 299, 3, id="in, cooling down by default"),
        pytest.param(50, 3, {"ScaleInCooldown": 0}, 59, 3, id="in, before a whole window was seen"),
        pytest.param(50, 3, {"DisableScaleIn": True}, 999, 3, id="in, disabled"),
        pytest.param(95, 2, {}, 999, 2, id="neither, near the target"),
    ],
)
def test_a_policy_wants_the_invocations_of_each_instance_at_its_target(
    per_minute: float, count: int, policy: dict[str, Any], since: float, wanted: int
) -> None:
    assert (
        wanted_instances(
            {"TargetValue": 50.0, **policy},
            count=count,
            per_minute=per_minute,
            window=60,
            since_known=since,
            since_out=since,
            since_in=since,
        )
        == wanted
    )


def test_cooldowns_shrink_with_the_window() -> None:
    def wanted(since: float) -> int:
        policy = {"TargetValue": 50.0, "ScaleOutCooldown": 60}
        times = {"since_known": since, "since_out": since, "since_in": since}
        return wanted_instances(policy, count=1, per_minute=100, window=6, **times)

    assert (wanted(5.9), wanted(6.0)) == (1, 2)
