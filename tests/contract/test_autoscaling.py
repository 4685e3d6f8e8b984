"""What Application Auto Scaling answers about endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.verify_aws.guard import PREFIX
from tests.contract.sagemaker import DIMENSION, VARIANT, SageMakerThings

row = pytest.mark.row
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
STEPS = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
}
POLICY = {"PolicyName": "invocations", "PolicyType": "TargetTrackingScaling"}


@pytest.fixture
def scaling(client: Callable[[str], Any]) -> Any:
    return client("application-autoscaling")


@pytest.fixture
def target(things: SageMakerThings, scaling: Any) -> Iterator[dict[str, str]]:
    """The variant of an endpoint in service, which is not registered; afterwards neither."""
    target = named(things.resource_id)
    yield target
    if is_registered(scaling, target):
        scaling.deregister_scalable_target(**target)


@pytest.fixture
def registered(scaling: Any, target: dict[str, str]) -> dict[str, str]:
    """A scalable target."""
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    return target


def named(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


def is_registered(scaling: Any, target: dict[str, str]) -> bool:
    found = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]]
    )
    return bool(found["ScalableTargets"])


@row("AS1")
def test_a_policy_needs_a_target(scaling: Any, target: dict[str, str], refused: Any) -> None:
    sentence = (
        f"No scalable target registered for service namespace: sagemaker, resource ID: {target['ResourceId']}, "
        f"scalable dimension: {DIMENSION}"
    )
    with refused("ObjectNotFoundException", sentence):
        scaling.put_scaling_policy(**target, **POLICY, TargetTrackingScalingPolicyConfiguration=TRACKING)


@row("AS1")
def test_a_scheduled_action_needs_a_target(scaling: Any, target: dict[str, str], refused: Any) -> None:
    with refused("ObjectNotFoundException"):
        scaling.put_scheduled_action(
            **target,
            ScheduledActionName="nightly",
            Schedule="cron(0 22 * * ? *)",
            ScalableTargetAction={"MaxCapacity": 1},
        )


@row("AS2")
def test_what_is_not_registered_can_not_be_deregistered(
    scaling: Any, target: dict[str, str], refused: Any
) -> None:
    with refused("ObjectNotFoundException", "No scalable target "):
        scaling.deregister_scalable_target(**target)


@row("AS2")
@pytest.mark.parametrize("exists", [True, False])
def test_an_unknown_policy_can_not_be_deleted(
    scaling: Any, target: dict[str, str], refused: Any, exists: bool
) -> None:
    if exists:
        scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    with refused("ObjectNotFoundException"):
        scaling.delete_scaling_policy(**target, PolicyName="none")


@row("AS3")
@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(f"endpoint/{PREFIX}-none/variant/AllTraffic", id="unknown endpoint"),
        pytest.param("endpoint/{endpoint}/variant/none", id="unknown variant"),
        pytest.param("endpoint/{endpoint}", id="no variant"),
    ],
)
def test_only_a_variant_that_exists_can_be_registered(
    scaling: Any, things: SageMakerThings, refused: Any, resource: str
) -> None:
    target = named(resource.format(endpoint=things.name))
    with refused("ValidationException"):
        scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    assert not is_registered(scaling, target)


@row("AS3")
@pytest.mark.parametrize("capacities", [{"MinCapacity": 3, "MaxCapacity": 2}, {"MinCapacity": 1}])
def test_the_capacities_are_both_given_and_the_smaller_one_first(
    scaling: Any, target: dict[str, str], refused: Any, capacities: dict[str, int]
) -> None:
    with refused("ValidationException"):
        scaling.register_scalable_target(**target, **capacities)
    assert not is_registered(scaling, target)


@row("AS3")
def test_the_capacities_of_a_registered_one_stay_where_they_are_not_given(
    scaling: Any, registered: dict[str, str], refused: Any
) -> None:
    with refused("ValidationException"):
        scaling.register_scalable_target(**registered, MinCapacity=3)
    scaling.register_scalable_target(**registered, SuspendedState={"DynamicScalingInSuspended": True})
    (found,) = scaling.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[registered["ResourceId"]]
    )["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 2)
    assert found["SuspendedState"] == {
        "DynamicScalingInSuspended": True,
        "DynamicScalingOutSuspended": False,
        "ScheduledScalingSuspended": False,
    }


@row("AS4")
def test_what_is_registered_is_not_tagged_by_registering_it_again(
    scaling: Any, registered: dict[str, str], refused: Any
) -> None:
    sentence = "The scalable target that you tried to tag already exists."
    with refused("ValidationException", sentence):
        scaling.register_scalable_target(**registered, Tags={"project": "birds"})


@row("SM16")
@row("AS5")
def test_what_belongs_to_a_target_goes_with_it(scaling: Any, registered: dict[str, str]) -> None:
    scaling.put_scaling_policy(**registered, **POLICY, TargetTrackingScalingPolicyConfiguration=TRACKING)
    scaling.put_scheduled_action(
        **registered,
        ScheduledActionName="nightly",
        Schedule="cron(0 22 * * ? *)",
        ScalableTargetAction={"MaxCapacity": 1},
    )
    assert scaling.describe_scheduled_actions(**registered)["ScheduledActions"]
    scaling.deregister_scalable_target(**registered)
    scaling.register_scalable_target(**registered, MinCapacity=1, MaxCapacity=2)
    assert scaling.describe_scaling_policies(**registered)["ScalingPolicies"] == []
    assert scaling.describe_scheduled_actions(**registered)["ScheduledActions"] == []


@row("AS8")
def test_a_step_policy_has_no_configuration_for_target_tracking(
    scaling: Any, registered: dict[str, str]
) -> None:
    scaling.put_scaling_policy(
        **registered, PolicyName="steps", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEPS
    )
    (policy,) = scaling.describe_scaling_policies(**registered)["ScalingPolicies"]
    assert policy["PolicyType"] == "StepScaling"
    assert policy["StepScalingPolicyConfiguration"]["StepAdjustments"] == STEPS["StepAdjustments"]
    assert "TargetTrackingScalingPolicyConfiguration" not in policy


@row("SM31")
def test_burstable_instances_do_not_scale(
    things: SageMakerThings, scaling: Any, refused: Any, unique: str
) -> None:
    """The endpoint fails, for its model does not exist; it is deleted again."""
    sagemaker = things.sagemaker
    things.make_model_without_data(unique)
    things.make_config(unique, "ml.t2.medium", unique)
    sagemaker.create_endpoint(EndpointName=unique, EndpointConfigName=unique)
    try:
        with refused("ValidationException"):
            scaling.register_scalable_target(
                **named(f"endpoint/{unique}/variant/{VARIANT}"), MinCapacity=1, MaxCapacity=2
            )
    finally:
        things.eventually(
            lambda: sagemaker.describe_endpoint(EndpointName=unique)["EndpointStatus"] == "Failed"
        )
        sagemaker.delete_endpoint(EndpointName=unique)
