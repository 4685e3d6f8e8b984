"""Application Auto Scaling: policies change the number of serving processes."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from include.local_aws.config import Config
from include.local_aws.sagemaker.autoscaling import Autoscaling, wanted_instances
from include.local_aws.sagemaker.scalable_targets import ScalableTarget
from include.local_aws.sagemaker.scaling_activities import ScalingActivities

METRIC = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}


@pytest.fixture
def scale(local_aws: Any, name: str) -> Iterator[Callable[..., None]]:
    """Register the endpoint's variant with a policy of 5 invocations per instance per minute."""
    client = local_aws.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/blue",
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
                "TargetValue": 5.0,
                "PredefinedMetricSpecification": METRIC,
                **cooldowns,
            },
        )

    yield register
    with suppress(client.exceptions.ObjectNotFoundException):  # deregistered with its endpoint
        client.deregister_scalable_target(**target)


class Serving:
    """Stands for the endpoints and their invocations: those of one endpoint, whose changes take no time."""

    def __init__(self) -> None:
        self.instances = 1
        self.requests = 0

    def variants(self, name: str) -> list[dict[str, Any]]:
        variant = {"VariantName": "blue", "CurrentInstanceCount": self.instances}
        return [variant] if name == "serving" else []

    def set_capacity(self, name: str, variant: str, count: int) -> None:
        self.instances = count

    def count(self, endpoint: str, variant: str, seconds: float) -> int:
        return self.requests


@pytest.fixture
def serving() -> Serving:
    return Serving()


@pytest.fixture
def clock() -> list[float]:
    """The clock of the scaling, which only the test advances."""
    return [0.0]


@pytest.fixture
def targets() -> list[ScalableTarget]:
    return []


@pytest.fixture
def scaling(
    serving: Serving, clock: list[float], targets: list[ScalableTarget], tmp_path: Path
) -> Autoscaling:
    """Scaling that checks only when the test says so."""
    config = Config(state_dir=tmp_path)
    served: Any = serving
    scaling = Autoscaling(config, served, served, lambda: targets, ScalingActivities(), lambda: clock[0])
    scaling.close()
    return scaling


def target(capacity: tuple[int, int], suspended: bool = False, **cooldowns: int) -> ScalableTarget:
    """Return the serving's variant with a policy of 60 invocations per instance per minute."""
    return ScalableTarget(
        "endpoint/serving/variant/blue",
        capacity,
        {"DynamicScalingOutSuspended": suspended},
        ({"TargetValue": 60.0, "PredefinedMetricSpecification": METRIC, **cooldowns},),
    )


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


def test_traffic_scales_out_to_the_maximum_and_silence_in(
    scale: Callable[..., None],
    instances: Callable[[], int],
    activities: Callable[[], list[dict[str, Any]]],
    invoke: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    scale((1, 2), ScaleOutCooldown=0, ScaleInCooldown=0)
    # A single one in three seconds, which are the window here, would be several instances.
    eventually(lambda: len({invoke()["pid"] for _ in range(4)}) == 2)
    eventually(lambda: instances() == 1 and activities()[0]["StatusCode"] == "Successful")
    scaled_in, scaled_out, *_ = activities()
    assert scaled_out["StatusCode"] == "Successful"
    assert scaled_out["EndTime"] > scaled_out["StartTime"]
    assert scaled_out["Description"] == "Setting desired instance count to 2."
    assert scaled_in["Description"] == "Setting desired instance count to 1."
    assert re.match(r"1 instances had \d+ invocations a minute; 1 to 2 instances are", scaled_out["Cause"])
    assert "Change successfully fulfilled by sagemaker" in scaled_out["StatusMessage"]


def test_the_cooldown_begins_when_the_change_is_complete(
    targets: list[ScalableTarget], scaling: Autoscaling, serving: Serving, clock: list[float]
) -> None:
    targets.append(target((1, 2), ScaleOutCooldown=0, ScaleInCooldown=100))
    serving.requests = 600
    scaling.check()
    assert serving.instances == 2
    serving.requests = 0
    seen = []
    for clock[0] in (10.0, 109.0, 110.0):  # the change is seen to be complete at the first of them
        scaling.check()
        seen.append(serving.instances)
    assert seen == [2, 2, 1]


def test_a_variant_grows_to_its_minimum_unless_scaling_out_is_suspended(
    targets: list[ScalableTarget], scaling: Autoscaling, serving: Serving
) -> None:
    targets[:] = [target((2, 3), suspended=True)]
    scaling.check()
    assert serving.instances == 1
    assert scaling.activities.describe({})["ScalingActivities"] == []
    targets[:] = [target((2, 3))]
    scaling.check()
    assert serving.instances == 2


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
