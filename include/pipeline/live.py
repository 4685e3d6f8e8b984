"""What serves now: the champion that a candidate is compared with, and that a rollback goes back to."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.names import ALIAS, endpoint_name, function_name
from include.pipeline.settings import Project


def read_live(project: Project, sagemaker: Any, lambda_client: Any) -> dict[str, Any] | None:
    """The model in service, or None where there is no endpoint that serves.

    :return: ``endpoint_config``, ``model``, ``artifact`` (S3 address), ``inputs`` (digest of what it was trained
        from) and ``function_version`` (None where the alias does not exist).
    """
    endpoint = describe_endpoint(project, sagemaker)
    if endpoint is None or "ProductionVariants" not in endpoint:  # the latter never came into service
        return None
    return describe_release(endpoint["EndpointConfigName"], _alias_version(project, lambda_client), sagemaker)


def describe_release(config: str, function_version: str | None, sagemaker: Any) -> dict[str, Any]:
    """What an endpoint configuration serves together with a version of the function; see :func:`read_live`."""
    found = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    model = sagemaker.describe_model(ModelName=found["ProductionVariants"][0]["ModelName"])
    return {
        "endpoint_config": config,
        "model": model["ModelName"],
        "artifact": model["PrimaryContainer"]["ModelDataUrl"],
        "inputs": tags(model["ModelArn"], sagemaker).get("inputs"),
        "function_version": function_version,
    }


def tags(arn: str, sagemaker: Any) -> dict[str, str]:
    """The tags of a SageMaker resource."""
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def config_beside(project: Project, new_config: str, sagemaker: Any) -> str | None:
    """The endpoint configuration that gets traffic beside a new one while it is released, or None."""
    if project.endpoint.deployment.strategy == "all_at_once":
        return None
    endpoint = describe_endpoint(project, sagemaker)
    if endpoint is None or "ProductionVariants" not in endpoint:
        return None
    old: str = endpoint["EndpointConfigName"]
    return None if old == new_config else old


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
    """Whether SageMaker refused because the thing does not exist; it has no single code for that."""
    code = error.response["Error"]["Code"]
    return code == "ResourceNotFound" or (
        code == "ValidationException"
        and any(sign in str(error) for sign in ("Could not find", "Requested resource not found"))
    )
