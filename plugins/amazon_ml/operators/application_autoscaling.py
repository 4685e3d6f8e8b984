"""Register and deregister scalable targets of Application Auto Scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import ClientError

from amazon_ml.hooks.application_autoscaling import ApplicationAutoScalingHook
from include.aws.documents import AwsRequest

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScaledTarget(TypedDict):
    """A registered target, its policy, and the names of the alarms that AWS created for the policy."""

    resource_id: str
    min_capacity: int
    max_capacity: int
    policy_arn: str
    alarms: list[str]


class DeregisteredTarget(TypedDict):
    """Whether a target was registered and has been deregistered."""

    resource_id: str
    deregistered: bool


class ApplicationAutoScalingBaseOperator(AwsBaseOperator[ApplicationAutoScalingHook]):
    """
    Base class of the operators for one scalable target.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    """

    aws_hook_class = ApplicationAutoScalingHook
    template_fields: Sequence[str] = aws_template_fields("resource_id")
    ui_color = "#ff9900"

    def __init__(
        self, *, service_namespace: str, resource_id: str, scalable_dimension: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.service_namespace = service_namespace
        self.resource_id = resource_id
        self.scalable_dimension = scalable_dimension

    @property
    def target(self) -> dict[str, str]:
        """The members that identify the target in every request."""
        return {
            "ServiceNamespace": self.service_namespace,
            "ResourceId": self.resource_id,
            "ScalableDimension": self.scalable_dimension,
        }


class ApplicationAutoScalingTargetTrackingOperator(ApplicationAutoScalingBaseOperator):
    """
    Register a scalable target and attach a target-tracking policy to it.

    Both operations replace existing settings, so the task can be run any number of times. A suspended target stays
    suspended.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :param min_capacity: The minimum capacity.
    :param max_capacity: The maximum capacity.
    :param policy_name: The name of the policy (templated).
    :param target_tracking_configuration: The policy, in the format of boto3 (templated).
    :return: ``resource_id``, ``min_capacity``, ``max_capacity``, ``policy_arn`` and ``alarms``.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "resource_id", "policy_name", "target_tracking_configuration"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"target_tracking_configuration": "json"}

    def __init__(
        self,
        *,
        min_capacity: int,
        max_capacity: int,
        policy_name: str,
        target_tracking_configuration: AwsRequest,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.min_capacity = min_capacity
        self.max_capacity = max_capacity
        self.policy_name = policy_name
        self.target_tracking_configuration = target_tracking_configuration

    def execute(self, context: Context) -> ScaledTarget:
        """Register the target, then put the policy."""
        client = self.hook.conn
        client.register_scalable_target(
            **self.target, MinCapacity=self.min_capacity, MaxCapacity=self.max_capacity
        )
        self.log.info("%s scales between %s and %s.", self.resource_id, self.min_capacity, self.max_capacity)
        answer = client.put_scaling_policy(
            **self.target,
            PolicyName=self.policy_name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=self.target_tracking_configuration,
        )
        return {
            "resource_id": self.resource_id,
            "min_capacity": self.min_capacity,
            "max_capacity": self.max_capacity,
            "policy_arn": answer["PolicyARN"],
            "alarms": [alarm["AlarmName"] for alarm in answer.get("Alarms", [])],
        }


class ApplicationAutoScalingDeregisterTargetOperator(ApplicationAutoScalingBaseOperator):
    """
    Deregister a scalable target, whose policies AWS then deletes; succeed if it is not registered.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :return: ``resource_id`` and ``deregistered``: False if it was not registered.
    """

    template_fields: Sequence[str] = aws_template_fields("resource_id")

    def execute(self, context: Context) -> DeregisteredTarget:
        """Deregister the target."""
        deregistered = True
        try:
            self.hook.conn.deregister_scalable_target(**self.target)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ObjectNotFoundException":
                raise
            self.log.info("%s is not registered.", self.resource_id)
            deregistered = False
        return {"resource_id": self.resource_id, "deregistered": deregistered}
