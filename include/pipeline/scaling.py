"""Scaling of the endpoint: read it, suspend it during an update, and restore it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.live import describe_endpoint, is_missing
from include.pipeline.names import SCALABLE_DIMENSION, VARIANT, scaling_resource_id
from include.pipeline.results import Scaling
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

ACTION_MEMBERS = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
SUSPENSIONS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def target(project: Project) -> dict[str, str]:
    """Return the members that identify the endpoint's scalable target in every request."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": scaling_resource_id(project),
        "ScalableDimension": SCALABLE_DIMENSION,
    }


def declared(project: Project) -> Scaling:
    """Return the scaling that the project file declares."""
    endpoint = project.endpoint
    configuration = {
        "TargetValue": endpoint.target_invocations_per_minute,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": endpoint.scale_in_cooldown_seconds,
        "ScaleOutCooldown": endpoint.scale_out_cooldown_seconds,
    }
    return Scaling(
        min_capacity=endpoint.min_instances,
        max_capacity=endpoint.max_instances,
        suspended=dict.fromkeys(SUSPENSIONS, False),
        policies={
            f"{project.aws_name}-invocations": {
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": configuration,
            }
        },
        scheduled={},
    )


def read(project: Project, autoscaling: Any) -> Scaling | None:
    """Return the current scaling of the endpoint, or None if it has none."""
    names = target(project)
    found = autoscaling.describe_scalable_targets(
        ServiceNamespace=names["ServiceNamespace"],
        ResourceIds=[names["ResourceId"]],
        ScalableDimension=names["ScalableDimension"],
    )["ScalableTargets"]
    if not found:
        return None
    suspended = found[0].get("SuspendedState", {})
    policies = autoscaling.describe_scaling_policies(**names)["ScalingPolicies"]
    actions = autoscaling.describe_scheduled_actions(**names)["ScheduledActions"]
    return Scaling(
        min_capacity=found[0]["MinCapacity"],
        max_capacity=found[0]["MaxCapacity"],
        suspended={kind: suspended.get(kind, False) for kind in SUSPENSIONS},
        policies={
            policy["PolicyName"]: {
                key: value
                for key, value in policy.items()
                if key == "PolicyType" or key.endswith("PolicyConfiguration")
            }
            for policy in policies
        },
        scheduled={
            # As text, because Airflow stores the result of a task in its database.
            action["ScheduledActionName"]: {
                key: action[key].isoformat() if key.endswith("Time") else action[key]
                for key in ACTION_MEMBERS
                if key in action
            }
            for action in actions
        },
    )


def suspend(
    project: Project,
    config: str,
    sagemaker: Any,
    autoscaling: Any,
    progress: Callable[[str], None] = log.info,
) -> Scaling | None:
    """Keep the number of instances unchanged while the endpoint is updated to another configuration.

    :param config: the new endpoint configuration.
    :return: the scaling before, for :func:`resume`; None if the endpoint has none.
    """
    before = read(project, autoscaling)
    if before is None:
        progress("The endpoint has no auto scaling.")
        return None
    if not deregister_for(project, config, sagemaker, autoscaling, progress):
        autoscaling.register_scalable_target(
            **target(project), SuspendedState=dict.fromkeys(SUSPENSIONS, True)
        )
    return before


def deregister_for(
    project: Project,
    config: str,
    sagemaker: Any,
    autoscaling: Any,
    progress: Callable[[str], None] = log.info,
) -> bool:
    """Deregister the scalable target if the endpoint can't be updated to a configuration otherwise.

    SageMaker refuses another instance type for a variant that is a scalable target, even a suspended one
    (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html). Its policies and scheduled actions
    are deleted with it. :func:`read` them first.

    :return: whether the target was deregistered.
    """
    endpoint = describe_endpoint(project, sagemaker)
    if endpoint is None:
        return False
    now, then = (instance_type(name, sagemaker) for name in (endpoint["EndpointConfigName"], config))
    if now == then:
        return False
    progress(
        f"The instance type changes from {now} to {then}. The scalable target is deregistered during the update."
    )
    deregister(project, autoscaling)
    return True


def resume(
    project: Project, before: Scaling | None, autoscaling: Any, progress: Callable[[str], None] = log.info
) -> None:
    """Resume the scaling of the endpoint after an update, and restore the policies and actions that it has lost.

    :param before: the result of :func:`suspend`.
    """
    now = read(project, autoscaling)
    if now is None:
        if before is not None:
            restore(project, before, autoscaling, progress)
        return
    before = before or now
    missing = {
        "policies": {name: each for name, each in before.policies.items() if name not in now.policies},
        "scheduled": {name: each for name, each in before.scheduled.items() if name not in now.scheduled},
    }
    restored = now.model_copy(update={"suspended": before.suspended, **missing})
    restore(project, restored, autoscaling, progress)


def restore(
    project: Project, scaling: Scaling | None, autoscaling: Any, progress: Callable[[str], None] = log.info
) -> None:
    """Restore the scaling of the endpoint; deregister it if there was none."""
    if scaling is None:
        deregister(project, autoscaling)
        return
    # If all three kinds are suspended, an unfinished run has suspended them.
    suspended = dict.fromkeys(SUSPENSIONS, False) if scaling.is_suspended else scaling.suspended
    autoscaling.register_scalable_target(
        **target(project),
        MinCapacity=scaling.min_capacity,
        MaxCapacity=scaling.max_capacity,
        SuspendedState=suspended,
    )
    for name, members in scaling.policies.items():
        autoscaling.put_scaling_policy(**target(project), PolicyName=name, **members)
        if members["PolicyType"] == "StepScaling":
            progress(
                f"If step policy {name} was created again, its ARN has changed. Check the alarms that use it."
            )
    for name, members in scaling.scheduled.items():
        try:
            autoscaling.put_scheduled_action(**target(project), ScheduledActionName=name, **members)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            # The time of the action has passed in the meantime.
            progress(f"Scheduled action {name} can't be created again: {error}")


def deregister(project: Project, autoscaling: Any) -> None:
    """Deregister the scalable target, if it exists."""
    try:
        autoscaling.deregister_scalable_target(**target(project))
    except autoscaling.exceptions.ObjectNotFoundException:
        return


def instance_type(config: str, sagemaker: Any) -> str | None:
    """Return the instance type of the endpoint's variant in a configuration; None if somebody has deleted it."""
    try:
        variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return next(
        (variant.get("InstanceType") for variant in variants if variant["VariantName"] == VARIANT), None
    )
