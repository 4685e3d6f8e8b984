"""Application Auto Scaling operators against local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from amazon_ml.hooks.application_autoscaling import ApplicationAutoScalingHook
from amazon_ml.operators.application_autoscaling import (
    ApplicationAutoScalingDeregisterTargetOperator,
    ApplicationAutoScalingTargetTrackingOperator,
    ScaledTarget,
)
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tests.archives import put_archive
from tests.endpoints import create_endpoint

TRACKING = {
    "TargetValue": 20.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def target(aws: Any) -> dict[str, str]:
    """A variant of an endpoint whose model archive is deleted, so that local AWS can't scale it."""
    sagemaker, name = aws.client("sagemaker"), f"scaled-{uuid.uuid4().hex[:8]}"
    archive = put_archive(aws.client("s3"), f"s3://any-models/{name}")
    container = {"Image": "image", "ModelDataUrl": archive}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    aws.client("s3").delete_object(Bucket="any-models", Key=name)
    create_endpoint(sagemaker, name, "AllTraffic")
    return {
        "task_id": "scale",
        "service_namespace": "sagemaker",
        "resource_id": f"endpoint/{name}/variant/AllTraffic",
        "scalable_dimension": DIMENSION,
    }


@pytest.fixture
def stub(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Responses that local AWS can't return."""
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


def register(target: dict[str, str], maximum: int = 2, value: float = 20.0) -> ScaledTarget:
    return ApplicationAutoScalingTargetTrackingOperator(
        **target,
        min_capacity=1,
        max_capacity=maximum,
        policy_name="invocations",
        target_tracking_configuration=TRACKING | {"TargetValue": value},
    ).execute({})


class TestApplicationAutoScalingTargetTrackingOperator:
    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingTargetTrackingOperator.template_fields) == set(
            aws_template_fields("resource_id", "policy_name", "target_tracking_configuration")
        )

    def test_second_run_updates_the_target_and_the_policy(self, aws: Any, target: dict[str, str]) -> None:
        for maximum, value in ((2, 20.0), (3, 30.0)):
            result = register(target, maximum, value)
        assert (result["min_capacity"], result["max_capacity"]) == (1, 3)
        assert "invocations" in result["policy_arn"]
        assert capacities(aws, target) == [(1, 3)]
        assert policies(aws, target) == [("invocations", 30.0)]

    def test_registration_does_not_resume_scaling(self, aws: Any, target: dict[str, str]) -> None:
        register(target)
        kinds = ("DynamicScalingIn", "DynamicScalingOut", "ScheduledScaling")
        aws.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=target["resource_id"],
            ScalableDimension=DIMENSION,
            SuspendedState={f"{kind}Suspended": True for kind in kinds},
        )
        register(target, maximum=4)
        (found,) = registered(aws, target)
        assert set(found["SuspendedState"].values()) == {True}


class TestApplicationAutoScalingDeregisterTargetOperator:
    def test_template_fields(self) -> None:
        assert set(ApplicationAutoScalingDeregisterTargetOperator.template_fields) == set(
            aws_template_fields("resource_id")
        )

    def test_target_is_deregistered_once(self, aws: Any, target: dict[str, str]) -> None:
        register(target)
        for deregistered in (True, False):
            result = ApplicationAutoScalingDeregisterTargetOperator(**target).execute({})
            assert result == {"resource_id": target["resource_id"], "deregistered": deregistered}
        assert registered(aws, target) == []

    @pytest.mark.parametrize("verb", ["found", "registered"])
    def test_missing_target_is_detected_by_the_error_code(
        self, target: dict[str, str], stub: Stubber, verb: str
    ) -> None:
        """It is not known which of the two words AWS uses."""
        stub.add_client_error(
            "deregister_scalable_target",
            "ObjectNotFoundException",
            f"No scalable target {verb} for service namespace: sagemaker",
        )
        assert not ApplicationAutoScalingDeregisterTargetOperator(**target).execute({})["deregistered"]

    def test_other_errors_are_raised(self, target: dict[str, str], stub: Stubber) -> None:
        stub.add_client_error("deregister_scalable_target", "ValidationException", "Unsupported namespace")
        with pytest.raises(ClientError, match="Unsupported namespace"):
            ApplicationAutoScalingDeregisterTargetOperator(**target).execute({})
