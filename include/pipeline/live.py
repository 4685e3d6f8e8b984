"""What serves now: the champion that a candidate is compared with, and that a rollback goes back to."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.names import (
    ALIAS,
    SCALABLE_DIMENSION,
    endpoint_name,
    function_name,
    scaling_resource_id,
)
from include.pipeline.settings import Project


def read_live(project: Project, sagemaker: Any, lambda_client: Any) -> dict[str, Any] | None:
    """The model in service, or None where there is no endpoint that serves.

    :return: ``endpoint_config``, ``model``, ``artifact`` (S3 address), ``inputs`` (digest of what it was trained
        from) and ``function_version`` (None where the alias does not exist).
    """
    endpoint = describe_endpoint(project, sagemaker)
    if endpoint is None or "ProductionVariants" not in endpoint:  # the latter never came into service
        return None
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=model["ModelArn"])["Tags"]}
    return {
        "endpoint_config": endpoint["EndpointConfigName"],
        "model": model["ModelName"],
        "artifact": model["PrimaryContainer"]["ModelDataUrl"],
        "inputs": tags.get("inputs"),
        "function_version": _alias_version(project, lambda_client),
    }


def read_scaling(project: Project, autoscaling: Any) -> dict[str, Any] | None:
    """How the endpoint scales: ``min_capacity``, ``max_capacity`` and ``policies``; None where it does not."""
    resource = {"ServiceNamespace": "sagemaker", "ScalableDimension": SCALABLE_DIMENSION}
    name = scaling_resource_id(project)
    targets = autoscaling.describe_scalable_targets(**resource, ResourceIds=[name])["ScalableTargets"]
    if not targets:
        return None
    policies = autoscaling.describe_scaling_policies(**resource, ResourceId=name)["ScalingPolicies"]
    return {
        "min_capacity": targets[0]["MinCapacity"],
        "max_capacity": targets[0]["MaxCapacity"],
        "policies": {
            policy["PolicyName"]: policy["TargetTrackingScalingPolicyConfiguration"] for policy in policies
        },
    }


def _alias_version(project: Project, lambda_client: Any) -> str | None:
    try:
        alias = lambda_client.get_alias(FunctionName=function_name(project), Name=ALIAS)
    except lambda_client.exceptions.ResourceNotFoundException:
        return None
    version: str = alias["FunctionVersion"]
    return version


def reason_to_stop(run_type: str, serving: dict[str, Any] | None, inputs: str) -> str | None:
    """Why a run has nothing to do, in one sentence, or None where it has.

    A run that nobody asked for stops where the live model was made from the same inputs; one that a person started
    goes on.

    :param run_type: Airflow's kind of run, such as ``scheduled`` or ``manual``.
    :param serving: the answer of :func:`read_live`.
    :param inputs: see :func:`include.pipeline.job_requests.inputs_digest`.
    """
    if run_type == "manual" or serving is None or serving["inputs"] != inputs:
        return None
    return f"Nothing to do: {serving['model']} is live and was made from the same images, code and settings."


def endpoint_status(project: Project, sagemaker: Any) -> str | None:
    """The endpoint's status as SageMaker gives it, or None where there is no endpoint."""
    endpoint = describe_endpoint(project, sagemaker)
    return endpoint["EndpointStatus"] if endpoint else None


def describe_endpoint(project: Project, sagemaker: Any) -> dict[str, Any] | None:
    """The endpoint as SageMaker describes it, or None where there is none."""
    try:
        endpoint: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=endpoint_name(project))
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return endpoint


def is_missing(error: ClientError) -> bool:
    """Whether SageMaker refused because the thing does not exist."""
    return error.response["Error"]["Code"] == "ValidationException" and "Could not find" in str(error)
