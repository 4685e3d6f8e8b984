"""The live model: the champion that a candidate is compared with."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from include.aws.documents import AwsAnswer
from include.pipeline.names import ALIAS, endpoint_name, function_name
from include.pipeline.results import LiveRelease
from include.pipeline.settings import Project


def read_live(project: Project, sagemaker: Any, lambda_client: Any) -> LiveRelease | None:
    """Return the live release, or None if no endpoint is in service."""
    endpoint = describe_endpoint(project, sagemaker)
    if endpoint is None or "ProductionVariants" not in endpoint:  # the latter was never in service
        return None
    return describe_release(endpoint["EndpointConfigName"], _alias_version(project, lambda_client), sagemaker)


def describe_release(config: str, function_version: str | None, sagemaker: Any) -> LiveRelease:
    """Return the release of an endpoint configuration and a function version."""
    found = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    model = sagemaker.describe_model(ModelName=found["ProductionVariants"][0]["ModelName"])
    return LiveRelease(
        endpoint_config=config,
        model=model["ModelName"],
        artifact=model["PrimaryContainer"]["ModelDataUrl"],
        inputs=tags(model["ModelArn"], sagemaker).get("inputs"),
        function_version=function_version,
    )


def tags(arn: str, sagemaker: Any) -> dict[str, str]:
    """Return the tags of a SageMaker resource."""
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def config_beside(project: Project, new_config: str, sagemaker: Any) -> str | None:
    """Return the endpoint configuration that gets traffic while a new one is released, or None."""
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


def reason_to_stop(run_type: str, serving: LiveRelease | None, inputs: str) -> str | None:
    """Return why a run has nothing to do, as a sentence, or None if it has to continue.

    An automatic run stops if the live model was made from the same inputs. A manual run always continues.

    :param run_type: Airflow's run type, such as ``scheduled`` or ``manual``.
    :param inputs: see :func:`include.pipeline.job_requests.inputs_digest`.
    """
    if run_type == "manual" or serving is None or serving.inputs != inputs:
        return None
    return f"Nothing to do: {serving.model} is live and was made from the same images, code and settings."


def endpoint_status(project: Project, sagemaker: Any) -> str | None:
    """Return the status of the endpoint, or None if it does not exist."""
    endpoint = describe_endpoint(project, sagemaker)
    return endpoint["EndpointStatus"] if endpoint else None


def describe_endpoint(project: Project, sagemaker: Any) -> AwsAnswer | None:
    """Return the description of the endpoint, or None if it does not exist."""
    try:
        endpoint: AwsAnswer = sagemaker.describe_endpoint(EndpointName=endpoint_name(project))
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return endpoint


def image_digest(project: Project, sagemaker: Any) -> str | None:
    """Return the digest of the container image that the endpoint runs, such as ``sha256:0f3a…``.

    :return: None if no image was resolved. Local AWS resolves only the images that it has built.
    """
    variants = (describe_endpoint(project, sagemaker) or {}).get("ProductionVariants", [])
    images = [image for variant in variants for image in variant.get("DeployedImages", [])]
    resolved = [image["ResolvedImage"] for image in images if "@" in image.get("ResolvedImage", "")]
    return resolved[0].rpartition("@")[2] if resolved else None


def is_missing(error: ClientError) -> bool:
    """Return whether the error means that the resource does not exist. SageMaker has no single code for that."""
    code = error.response["Error"]["Code"]
    return code == "ResourceNotFound" or (
        code == "ValidationException"
        and any(sign in str(error) for sign in ("Could not find", "Requested resource not found"))
    )
