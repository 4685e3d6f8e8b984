"""How the endpoint scales: as the project says, as it is now, and as it was before an update."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.live import describe_endpoint, is_missing
from include.pipeline.names import SCALABLE_DIMENSION, VARIANT, scaling_resource_id
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

Scaling = dict[str, Any]
"""``min_capacity``, ``max_capacity``, ``suspended`` (whether each kind of scaling is), ``policies`` and ``scheduled``:
the members of each request that makes a policy or a scheduled action, by its name."""

ACTION_MEMBERS = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
SUSPENSIONS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def target(project: Project) -> dict[str, str]:
    """What names the endpoint's scalable target in every request."""
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": scaling_resource_id(project),
        "ScalableDimension": SCALABLE_DIMENSION,
    }


def declared(project: Project) -> Scaling:
    """How the project file says that the endpoint scales."""
    endpoint = project.endpoint
    configuration = {
        "TargetValue": endpoint.target_invocations_per_minute,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": endpoint.scale_in_cooldown_seconds,
        "ScaleOutCooldown": endpoint.scale_out_cooldown_seconds,
    }
    return {
        "min_capacity": endpoint.min_instances,
        "max_capacity": endpoint.max_instances,
        "suspended": dict.fromkeys(SUSPENSIONS, False),
        "policies": {
            f"{project.aws_name}-invocations": {
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": configuration,
            }
        },
        "scheduled": {},
    }


def read(project: Project, autoscaling: Any) -> Scaling | None:
    """How the endpoint scales now, or None where it does not."""
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
    return {
        "min_capacity": found[0]["MinCapacity"],
        "max_capacity": found[0]["MaxCapacity"],
        "suspended": {kind: suspended.get(kind, False) for kind in SUSPENSIONS},
        "policies": {
            policy["PolicyName"]: {
                key: value
                for key, value in policy.items()
                if key == "PolicyType" or key.endswith("PolicyConfiguration")
            }
            for policy in policies
        },
        "scheduled": {
            # As text: what a task returns goes through Airflow's database.
            action["ScheduledActionName"]: {
                key: action[key].isoformat() if key.endswith("Time") else action[key]
                for key in ACTION_MEMBERS
                if key in action
            }
            for action in actions
        },
    }


def suspend(
    project: Project,
    config: str,
    sagemaker: Any,
    autoscaling: Any,
    progress: Callable[[str], None] = log.info,
) -> Scaling | None:
    """Keep the number of instances as it is while the endpoint is updated to another configuration.

    :param config: the endpoint configuration that follows.
    :return: how the endpoint scaled before, for :func:`resume`; None where it did not.
    """
    before = read(project, autoscaling)
    if before is None:
        progress("The endpoint does not scale.")
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
    """Deregister the scalable target if the endpoint can't be updated to a configuration without that.

    SageMaker refuses another instance type for a variant that is a scalable target, even a suspended one
    (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html). Its policies and scheduled actions
    go with it, so :func:`read` them first.

    :return: whether that was necessary.
    """
    endpoint = describe_endpoint(project, sagemaker)
    if endpoint is None:
        return False
    now, then = (_instance_type(name, sagemaker) for name in (endpoint["EndpointConfigName"], config))
    if now == then:
        return False
    progress(
        f"The instance type changes from {now} to {then}, so the scalable target is deregistered meanwhile."
    )
    deregister(project, autoscaling)
    return True


def resume(
    project: Project, before: Scaling | None, autoscaling: Any, progress: Callable[[str], None] = log.info
) -> None:
    """Let the endpoint scale again after an update, with what it had before and has no more.

    :param before: what :func:`suspend` returned.
    """
    now = read(project, autoscaling)
    if now is None:
        if before is not None:
            restore(project, before, autoscaling, progress)
        return
    missing = {
        kind: {
            name: members for name, members in (before or {}).get(kind, {}).items() if name not in now[kind]
        }
        for kind in ("policies", "scheduled")
    }
    restore(project, {**now, "suspended": (before or now)["suspended"], **missing}, autoscaling, progress)


def restore(
    project: Project, scaling: Scaling | None, autoscaling: Any, progress: Callable[[str], None] = log.info
) -> None:
    """Let the endpoint scale as it did, or not at all."""
    if scaling is None:
        deregister(project, autoscaling)
        return
    # If all three are suspended, it was by a run that has not ended.
    forgotten = all(scaling["suspended"].values())
    autoscaling.register_scalable_target(
        **target(project),
        MinCapacity=scaling["min_capacity"],
        MaxCapacity=scaling["max_capacity"],
        SuspendedState=dict.fromkeys(SUSPENSIONS, False) if forgotten else scaling["suspended"],
    )
    for name, members in scaling["policies"].items():
        autoscaling.put_scaling_policy(**target(project), PolicyName=name, **members)
        if members["PolicyType"] == "StepScaling":
            progress(
                f"If step policy {name} was made again, its ARN has changed: check the alarms that use it."
            )
    for name, members in scaling["scheduled"].items():
        try:
            autoscaling.put_scheduled_action(**target(project), ScheduledActionName=name, **members)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            # Its time has passed meanwhile.
            progress(f"Scheduled action {name} can't be made again: {error}")


def deregister(project: Project, autoscaling: Any) -> None:
    """Let the endpoint not scale any more."""
    try:
        autoscaling.deregister_scalable_target(**target(project))
    except autoscaling.exceptions.ObjectNotFoundException:
        return


def _instance_type(config: str, sagemaker: Any) -> str | None:
    """The instance type of the endpoint's variant in a configuration; None if somebody has deleted that."""
    try:
        variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return next(
        (variant.get("InstanceType") for variant in variants if variant["VariantName"] == VARIANT), None
    )
