"""Undoing a release: the function's alias and the endpoint go back to what served before."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.live import endpoint_status
from include.pipeline.names import (
    ALIAS,
    SCALABLE_DIMENSION,
    endpoint_name,
    function_name,
    scaling_resource_id,
    tag_list,
)
from include.pipeline.settings import Project

WAIT_SECONDS = 1800


class RollbackError(RuntimeError):
    """A rollback that did not reach its goal; the message says what state the endpoint is in."""


def roll_back(
    project: Project,
    before: dict[str, Any] | None,
    scaling: dict[str, Any] | None,
    sagemaker: Any,
    lambda_client: Any,
    autoscaling: Any,
    progress: Callable[[str], None] = print,
) -> str:
    """Go back to what :func:`include.pipeline.live.read_live` found before the release.

    Where nothing served before, the endpoint and the function are removed: a model that failed must not stay live.

    :param scaling: likewise, what :func:`include.pipeline.live.read_scaling` found.
    :return: what was done, in one sentence.
    :raises RollbackError: if the endpoint does not return to service with the earlier configuration in 30 minutes.
    """
    _settle(project, sagemaker, progress)
    if before is None:
        _remove(project, sagemaker, lambda_client, autoscaling)
        _settle(project, sagemaker, progress)
        return "Nothing served before this run, so its endpoint and function were removed."
    if before["function_version"]:
        # With the weights, which else would stay as they are.
        lambda_client.update_alias(
            FunctionName=function_name(project),
            Name=ALIAS,
            FunctionVersion=before["function_version"],
            RoutingConfig={"AdditionalVersionWeights": {}},
        )
    try:
        _return_to(project, before["endpoint_config"], sagemaker, progress)
    finally:
        # Also where the endpoint did not come back: what serves must go on to scale.
        restore_scaling(project, scaling, autoscaling)
    return f"Model {before['model']} serves again."


def cause(failures: dict[str, str]) -> str:
    """Why a release failed, in a sentence or more.

    :param failures: the failed tasks, each with its cause.
    """
    return " ".join(f"{task} failed: {reason.rstrip('.')}." for task, reason in failures.items())


def restore_scaling(project: Project, scaling: dict[str, Any] | None, autoscaling: Any) -> None:
    """Let the endpoint scale as :func:`include.pipeline.live.read_scaling` found it, or not at all."""
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": scaling_resource_id(project),
        "ScalableDimension": SCALABLE_DIMENSION,
    }
    if scaling is None:
        _deregister(target, autoscaling)
        return
    autoscaling.register_scalable_target(
        **target,
        MinCapacity=scaling["min_capacity"],
        MaxCapacity=scaling["max_capacity"],
        SuspendedState={
            "DynamicScalingInSuspended": False,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": False,
        },
    )
    for name, configuration in scaling["policies"].items():
        autoscaling.put_scaling_policy(
            **target,
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )


def _return_to(project: Project, wanted: str, sagemaker: Any, progress: Callable[[str], None]) -> None:
    name = endpoint_name(project)
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    if endpoint["EndpointConfigName"] == wanted and endpoint["EndpointStatus"] == "InService":
        return
    progress(f"Endpoint {name} goes back to configuration {wanted}.")
    if (
        endpoint["EndpointStatus"] == "Failed"
    ):  # which can't be updated, and serves nothing that could be lost
        sagemaker.delete_endpoint(EndpointName=name)
        _settle(project, sagemaker, progress)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=wanted, Tags=tag_list(project))
    else:
        # All at once, and whatever the alarms say: what serves now is what has to go.
        sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=wanted, RetainAllVariantProperties=True
        )
    _settle(project, sagemaker, progress)
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    if endpoint["EndpointStatus"] != "InService" or endpoint["EndpointConfigName"] != wanted:
        raise RollbackError(
            f"Endpoint {name} is {endpoint['EndpointStatus']} with configuration {endpoint['EndpointConfigName']}, "
            f"not {wanted}: {endpoint.get('FailureReason', 'no reason given')}"
        )


def _remove(project: Project, sagemaker: Any, lambda_client: Any, autoscaling: Any) -> None:
    """Delete function, scalable target and endpoint, as far as they are there, in the order that AWS wants."""
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.delete_function(FunctionName=function_name(project))
    restore_scaling(project, None, autoscaling)
    if endpoint_status(project, sagemaker):
        sagemaker.delete_endpoint(EndpointName=endpoint_name(project))


def _deregister(target: dict[str, str], autoscaling: Any) -> None:
    try:
        autoscaling.deregister_scalable_target(**target)
    except ClientError as error:
        if "No scalable target found" not in str(error):
            raise


def _settle(project: Project, sagemaker: Any, progress: Callable[[str], None]) -> None:
    """Wait until the endpoint can be changed, or is gone: what is under way refuses any other change."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (status := endpoint_status(project, sagemaker)) in (
        "Creating",
        "Updating",
        "SystemUpdating",
        "RollingBack",
        "Deleting",
    ):
        if time.monotonic() > deadline:
            raise RollbackError(
                f"Endpoint {endpoint_name(project)} is still {status} after {WAIT_SECONDS // 60} minutes."
            )
        progress(f"Endpoint {endpoint_name(project)} is {status}.")
        time.sleep(project.poll_seconds)
