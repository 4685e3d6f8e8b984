"""Let Application Auto Scaling change how many instances serve, and stop it from doing so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.hooks.application_autoscaling import ApplicationAutoScalingHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class ApplicationAutoScalingBaseOperator(AwsBaseOperator[ApplicationAutoScalingHook]):
    """
    Do something with one scalable target.

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
        """What names the target in every request."""
        return {
            "ServiceNamespace": self.service_namespace,
            "ResourceId": self.resource_id,
            "ScalableDimension": self.scalable_dimension,
        }

    def register(self, min_capacity: int, max_capacity: int) -> dict[str, Any]:
        """Register the target, or change its capacities; whether it is suspended stays."""
        self.hook.conn.register_scalable_target(
            **self.target, MinCapacity=min_capacity, MaxCapacity=max_capacity
        )
        self.log.info("%s scales between %s and %s.", self.resource_id, min_capacity, max_capacity)
        return {
            "resource_id": self.resource_id,
            "min_capacity": min_capacity,
            "max_capacity": max_capacity,
        }

    def put_target_tracking_policy(self, policy_name: str, configuration: dict[str, Any]) -> dict[str, Any]:
        """Create or replace a policy of the target."""
        client = self.hook.conn
        try:
            answer = client.put_scaling_policy(
                **self.target,
                PolicyName=policy_name,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=configuration,
            )
        except client.exceptions.ObjectNotFoundException as error:
            raise self.unregistered() from error
        return {
            "resource_id": self.resource_id,
            "policy_arn": answer["PolicyARN"],
            "alarms": [alarm["AlarmName"] for alarm in answer.get("Alarms", [])],
        }

    def unregistered(self) -> AirflowFailException:
        """What is raised where the target has to be registered first."""
        return AirflowFailException(
            f"{self.resource_id} is not registered with Application Auto Scaling for {self.scalable_dimension}: "
            "register it first, for example by ApplicationAutoScalingRegisterTargetOperator."
        )


class ApplicationAutoScalingRegisterTargetOperator(ApplicationAutoScalingBaseOperator):
    """
    Register a scalable target, or change the capacities of one that is registered.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :param min_capacity: The least capacity.
    :param max_capacity: The most capacity.
    :return: ``resource_id``, ``min_capacity`` and ``max_capacity``.
    """

    template_fields: Sequence[str] = aws_template_fields("resource_id")

    def __init__(self, *, min_capacity: int, max_capacity: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_capacity = min_capacity
        self.max_capacity = max_capacity

    def execute(self, context: Context) -> dict[str, Any]:
        """Register the target."""
        return self.register(self.min_capacity, self.max_capacity)


class ApplicationAutoScalingPutTargetTrackingPolicyOperator(ApplicationAutoScalingBaseOperator):
    """
    Give a scalable target a target-tracking policy, or replace the one of that name.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :param policy_name: The name of the policy (templated).
    :param target_tracking_configuration: The policy, as boto3 takes it (templated).
    :return: ``resource_id``, ``policy_arn`` and ``alarms``: the names of the alarms that AWS made for it.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "resource_id", "policy_name", "target_tracking_configuration"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"target_tracking_configuration": "json"}

    def __init__(
        self, *, policy_name: str, target_tracking_configuration: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.policy_name = policy_name
        self.target_tracking_configuration = target_tracking_configuration

    def execute(self, context: Context) -> dict[str, Any]:
        """Put the policy."""
        return self.put_target_tracking_policy(self.policy_name, self.target_tracking_configuration)


class ApplicationAutoScalingTargetTrackingOperator(ApplicationAutoScalingBaseOperator):
    """
    Register a scalable target and give it a target-tracking policy.

    Both operations replace what is there, so the task can be run any number of times.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :param min_capacity: The least capacity.
    :param max_capacity: The most capacity.
    :param policy_name: The name of the policy (templated).
    :param target_tracking_configuration: The policy, as boto3 takes it (templated).
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
        target_tracking_configuration: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.min_capacity = min_capacity
        self.max_capacity = max_capacity
        self.policy_name = policy_name
        self.target_tracking_configuration = target_tracking_configuration

    def execute(self, context: Context) -> dict[str, Any]:
        """Register the target, then put the policy."""
        registered = self.register(self.min_capacity, self.max_capacity)
        policy = self.put_target_tracking_policy(self.policy_name, self.target_tracking_configuration)
        return registered | policy


class ApplicationAutoScalingSuspendOperator(ApplicationAutoScalingBaseOperator):
    """
    Keep a scalable target at the capacity it has, for example during an update; or let it scale again.

    Policies and capacities stay.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :param suspend: Suspend scaling out, in and by schedule; False resumes all three.
    :param if_registered: Do nothing where the target is not registered, in place of failing.
    :return: ``resource_id`` and ``suspended``: None if the target is not registered.
    """

    template_fields: Sequence[str] = aws_template_fields("resource_id")

    def __init__(self, *, suspend: bool = True, if_registered: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.suspend = suspend
        self.if_registered = if_registered

    def execute(self, context: Context) -> dict[str, Any]:
        """Suspend or resume, where the target is registered: this must not register one."""
        client = self.hook.conn
        found = client.describe_scalable_targets(
            ServiceNamespace=self.service_namespace,
            ResourceIds=[self.resource_id],
            ScalableDimension=self.scalable_dimension,
        )["ScalableTargets"]
        if not found and self.if_registered:
            self.log.info("%s does not scale.", self.resource_id)
            return {"resource_id": self.resource_id, "suspended": None}
        if not found:
            raise self.unregistered()
        client.register_scalable_target(
            **self.target,
            SuspendedState={
                "DynamicScalingInSuspended": self.suspend,
                "DynamicScalingOutSuspended": self.suspend,
                "ScheduledScalingSuspended": self.suspend,
            },
        )
        return {"resource_id": self.resource_id, "suspended": self.suspend}


class ApplicationAutoScalingDeregisterTargetOperator(ApplicationAutoScalingBaseOperator):
    """
    Deregister a scalable target, with which AWS deletes its policies; what is gone is fine.

    :param service_namespace: The AWS service, such as ``sagemaker``.
    :param resource_id: The resource, such as ``endpoint/my-endpoint/variant/AllTraffic`` (templated).
    :param scalable_dimension: What is scaled, such as ``sagemaker:variant:DesiredInstanceCount``.
    :return: ``resource_id`` and ``deregistered``: False if it was gone already.
    """

    template_fields: Sequence[str] = aws_template_fields("resource_id")

    def execute(self, context: Context) -> dict[str, Any]:
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
