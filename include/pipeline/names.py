"""Names of AWS resources, S3 URIs, tags, and the digests that names are derived from.

A job's name contains a digest of its whole request. A retry finds the job that is already running, a second run finds
the job that has completed, and only what changed is computed again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from include.aws.documents import AwsRequest
from include.pipeline.settings import Project

ALIAS = "live"
VARIANT = "AllTraffic"
SCALABLE_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
KNOWN_GOOD_CONFIG = "known-good-endpoint-config"
"""The tag of the endpoint that names the configuration of its last good release."""
KNOWN_GOOD_FUNCTION = "known-good-function-version"
"""The tag of the endpoint that names the function version of its last good release."""
KNOWN_GOOD_SINCE = "known-good-since"
"""The tag of the endpoint with the time from which that release was known to be good (ISO)."""
NO_GOOD_RELEASE = {"Key": KNOWN_GOOD_CONFIG, "Value": "none"}
"""The tag of an endpoint on which no release has passed its smoke test yet."""


def digest(content: Any, length: int = 12) -> str:
    """Return the first hexadecimal digits of the SHA-256 of JSON-like content, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def tags(project: Project) -> dict[str, str]:
    """Return the tags that every resource of a project carries, so that its resources can always be listed."""
    return {"project": project.name, "managed-by": "airflow"}


def tag_list(project: Project) -> list[dict[str, str]]:
    """Return the tags in the form that most AWS operations take."""
    return [{"Key": key, "Value": value} for key, value in tags(project).items()]


def job_name(
    project: Project, step: str, request: AwsRequest, rerun_token: str = "", length: int = 12
) -> str:
    """Return the name of the job for exactly this request, for example ``sample-train-0123456789ab``.

    :param rerun_token: set to run an equal request again.
    """
    return f"{project.aws_name}-{step}-{digest([request, rerun_token], length)}"


def tuning_job_name(project: Project, request: AwsRequest, rerun_token: str) -> str:
    """Return a :func:`job_name` within the 32 characters that SageMaker allows, with room for a second attempt."""
    return job_name(project, "tune", request, rerun_token, length=8)


def endpoint_name(project: Project) -> str:
    return project.aws_name


def function_name(project: Project) -> str:
    return project.aws_name


def endpoint_log_group(project: Project) -> str:
    """Return the log group that SageMaker writes the endpoint's logs to."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name(project)}"


def function_log_group(project: Project) -> str:
    """Return the log group that Lambda writes the function's logs to."""
    return f"/aws/lambda/{function_name(project)}"


def workspace_name(project: Project) -> str:
    """Return the name of the notebook instance and of its lifecycle configuration."""
    return f"{project.aws_name}-workspace"


def model_package_group(project: Project) -> str:
    """Return the group in SageMaker Model Registry that contains the project's candidates."""
    return project.aws_name


def data_asset(project: Project) -> str:
    """Return the name of the Airflow asset for the project's images; an asset event starts a run."""
    return f"{project.name}.data"


def scaling_resource_id(project: Project) -> str:
    """Return the resource ID of the endpoint's production variant in Application Auto Scaling."""
    return f"endpoint/{endpoint_name(project)}/variant/{VARIANT}"


def project_uri(bucket: str, project: Project) -> str:
    return f"s3://{bucket}/{project.name}"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/some/key`` into ``bucket`` and ``some/key``.

    :raises ValueError: if it is not an S3 URI.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"{uri!r} is not an S3 URI; expected s3://<bucket>/<key>.")
    return bucket, key
