"""Application Auto Scaling operators against local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowFailException
from amazon_ml.hooks.application_autoscaling import ApplicationAutoScalingHook
from amazon_ml.operators.application_autoscaling import (
    ApplicationAutoScalingDeregisterTargetOperator,
    ApplicationAutoScalingPutTargetTrackingPolicyOperator,
    ApplicationAutoScalingRegisterTargetOperator,
    ApplicationAutoScalingSuspendOperator,
    ApplicationAutoScalingTargetTrackingOperator,
)
from botocore.exceptions import ClientError
from botocore.stub import Stubber

TRACKING = {
    "TargetValue": 20.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def target(aws: Any) -> dict[str, str]:
    """A variant of an endpoint without a model: there is nothing that local AWS could scale."""
    sagemaker, name = aws.client("sagemaker"), f"scaled-{uuid.uuid4().hex[:8]}"
    container = {"Image": "image", "ModelDataUrl": f"s3://no-bucket/{name}"}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return {
        "task_id": "scale",
        "service_namespace": "sagemaker",
        "resource_id": f"endpoint/{name}/variant/AllTraffic",
        "scalable_dimension": DIMENSION,
    }


@pytest.fixture
def stub(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Answers that local AWS does not give."""
    client = ApplicationAutoScalingHook(aws_conn_id=None).conn
    monkeypatch.setattr(ApplicationAutoScalingHook, "conn", client)
    with Stubber(client) as stub:
        yield stub


def registered(aws: Any, target: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[target["resource_id"]]
    )["ScalableTargets"]
    return found


def capacities(aws: Any, target: dict[str, str]) -> list[tuple[int, int]]:
    return [(each["MinCapacity"], each["MaxCapacity"]) for each in registered(aws, target)]


def policies(aws: Any, target: dict[str, str]) -> list[tuple[str, float]]:
    found = aws.client("application-autoscaling").describe_scaling_policies(
        ServiceNamespace="sagemaker", ResourceId=target["resource_id"]
    )["ScalingPolicies"]
    return [
        (each["PolicyName"], each["TargetTrackingScalingPolicyConfiguration"]["TargetValue"])
        for each in found
    ]


def register(target: dict[str, str], maximum: int = 2) -> dict[str, Any]:
    return ApplicationAutoScalingRegisterTargetOperator(
        **target, min_capacity=1, max_capacity=maximum
    ).execute({})


class TestApplicationAutoScalingRegisterTargetOperator:
    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingRegisterTargetOperator.template_fields) == set(
            aws_template_fields("resource_id")
        )

    def test_running_it_twice_leaves_one_target_with_the_last_values(
        self, aws: Any, target: dict[str, str]
    ) -> None:
        for maximum in (2, 3):
            result = register(target, maximum)
        assert result == {"resource_id": target["resource_id"], "min_capacity": 1, "max_capacity": 3}
        assert capacities(aws, target) == [(1, 3)]


class TestApplicationAutoScalingPutTargetTrackingPolicyOperator:
    def operator(
        self, target: dict[str, str], value: float = 20.0
    ) -> ApplicationAutoScalingPutTargetTrackingPolicyOperator:
        return ApplicationAutoScalingPutTargetTrackingPolicyOperator(
            **target,
            policy_name="invocations",
            target_tracking_configuration=TRACKING | {"TargetValue": value},
        )

    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingPutTargetTrackingPolicyOperator.template_fields) == set(
            aws_template_fields("resource_id", "policy_name", "target_tracking_configuration")
        )

    def test_a_policy_is_made_and_replaced(self, aws: Any, target: dict[str, str]) -> None:
        register(target)
        arns = {self.operator(target, value).execute({})["policy_arn"] for value in (20.0, 30.0)}
        assert policies(aws, target) == [("invocations", 30.0)]
        assert all("invocations" in arn for arn in arns)

    def test_without_a_target_it_says_what_to_do(self, target: dict[str, str]) -> None:
        with pytest.raises(AirflowFailException, match="register it first"):
            self.operator(target).execute({})


class TestApplicationAutoScalingTargetTrackingOperator:
    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingTargetTrackingOperator.template_fields) == set(
            aws_template_fields("resource_id", "policy_name", "target_tracking_configuration")
        )

    def test_running_it_twice_leaves_one_target_and_one_policy_with_the_last_values(
        self, aws: Any, target: dict[str, str]
    ) -> None:
        for maximum in (2, 3):
            result = ApplicationAutoScalingTargetTrackingOperator(
                **target,
                min_capacity=1,
                max_capacity=maximum,
                policy_name="invocations",
                target_tracking_configuration=TRACKING,
            ).execute({})
        assert (result["min_capacity"], result["max_capacity"]) == (1, 3)
        assert "invocations" in result["policy_arn"]
        assert capacities(aws, target) == [(1, 3)]
        assert policies(aws, target) == [("invocations", 20.0)]


class TestApplicationAutoScalingSuspendOperator:
    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingSuspendOperator.template_fields) == set(
            aws_template_fields("resource_id")
        )

    def test_scaling_is_suspended_and_resumed_and_the_capacities_stay(
        self, aws: Any, target: dict[str, str]
    ) -> None:
        register(target)
        for suspend in (True, True, False):
            result = ApplicationAutoScalingSuspendOperator(**target, suspend=suspend).execute({})
            assert result == {"resource_id": target["resource_id"], "suspended": suspend}
            (found,) = registered(aws, target)
            assert set(found["SuspendedState"].values()) == {suspend}
        assert capacities(aws, target) == [(1, 2)]

    def test_registering_again_does_not_resume(self, aws: Any, target: dict[str, str]) -> None:
        register(target)
        ApplicationAutoScalingSuspendOperator(**target).execute({})
        register(target, maximum=4)
        (found,) = registered(aws, target)
        assert set(found["SuspendedState"].values()) == {True}

    def test_it_registers_nothing(self, aws: Any, target: dict[str, str]) -> None:
        with pytest.raises(AirflowFailException, match="register it first"):
            ApplicationAutoScalingSuspendOperator(**target).execute({})
        assert registered(aws, target) == []

    def test_where_that_is_allowed_there_may_be_nothing_to_suspend(
        self, aws: Any, target: dict[str, str]
    ) -> None:
        result = ApplicationAutoScalingSuspendOperator(**target, if_registered=True).execute({})
        assert result == {"resource_id": target["resource_id"], "suspended": None}
        assert registered(aws, target) == []


class TestApplicationAutoScalingDeregisterTargetOperator:
    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingDeregisterTargetOperator.template_fields) == set(
            aws_template_fields("resource_id")
        )

    def test_a_target_is_deregistered_once(self, aws: Any, target: dict[str, str]) -> None:
        register(target)
        for deregistered in (True, False):
            result = ApplicationAutoScalingDeregisterTargetOperator(**target).execute({})
            assert result == {"resource_id": target["resource_id"], "deregistered": deregistered}
        assert registered(aws, target) == []

    @pytest.mark.parametrize("verb", ["found", "registered"])
    def test_one_that_is_gone_is_told_by_the_code(
        self, target: dict[str, str], stub: Stubber, verb: str
    ) -> None:
        """Which of the two words AWS uses is not known."""
        stub.add_client_error(
            "deregister_scalable_target",
            "ObjectNotFoundException",
            f"No scalable target {verb} for service namespace: sagemaker",
        )
        assert not ApplicationAutoScalingDeregisterTargetOperator(**target).execute({})["deregistered"]

    def test_another_error_is_not_taken_for_gone(self, target: dict[str, str], stub: Stubber) -> None:
        stub.add_client_error("deregister_scalable_target", "ValidationException", "Unsupported namespace")
        with pytest.raises(ClientError, match="Unsupported namespace"):
            ApplicationAutoScalingDeregisterTargetOperator(**target).execute({})
