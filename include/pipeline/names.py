"""What things are called: AWS names, S3 addresses, tags, and the digests they are derived from.

A job's name holds a digest of its whole request. So a retry finds the job that is already running, a second
run finds the one that has been done, and only what really changed is computed again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from include.pipeline.settings import Project

ALIAS = "live"
VARIANT = "AllTraffic"
SCALABLE_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
KNOWN_GOOD_CONFIG = "known-good-endpoint-config"
"""The tag of the endpoint that names the configuration of its last good release."""
KNOWN_GOOD_FUNCTION = "known-good-function-version"
"""Likewise, the version of the function."""
KNOWN_GOOD_SINCE = "known-good-since"
"""Likewise, when that release was first known to be good (ISO)."""
NO_GOOD_RELEASE = {"Key": KNOWN_GOOD_CONFIG, "Value": "none"}
"""The tag of an endpoint none of whose releases has passed its smoke test so far."""


def digest(content: Any, length: int = 12) -> str:
    """The first hexadecimal digits of the SHA-256 of any JSON-like content, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def tags(project: Project) -> dict[str, str]:
    """The tags that every resource of a project carries, so that what exists can always be listed."""
    return {"project": project.name, "managed-by": "airflow"}


def tag_list(project: Project) -> list[dict[str, str]]:
    """The same tags in the form that most AWS operations take."""
    return [{"Key": key, "Value": value} for key, value in tags(project).items()]


def job_name(project: Project, step: str, request: dict[str, Any], salt: str = "", length: int = 12) -> str:
    """The name of a job that does exactly this request, for example ``sample-train-0123456789ab``.

    :param salt: set where an equal request has to be done anew.
    """
    return f"{project.aws_name}-{step}-{digest([request, salt], length)}"


def tuning_job_name(project: Project, request: dict[str, Any], salt: str) -> str:
    """As :func:`job_name`, in the 32 characters that SageMaker allows, with room for a second attempt."""
    return job_name(project, "tune", request, salt, length=8)


def endpoint_name(project: Project) -> str:
    return project.aws_name


def function_name(project: Project) -> str:
    return project.aws_name


def endpoint_log_group(project: Project) -> str:
    """The log group that SageMaker writes the endpoint's logs to."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name(project)}"


def function_log_group(project: Project) -> str:
    """The log group that Lambda writes the function's logs to."""
    return f"/aws/lambda/{function_name(project)}"


def workspace_name(project: Project) -> str:
    """Of the notebook instance, and of its lifecycle configuration."""
    return f"{project.aws_name}-workspace"


def model_package_group(project: Project) -> str:
    """The group of SageMaker's model registry that holds the project's candidates."""
    return project.aws_name


def data_asset(project: Project) -> str:
    """The asset that stands for the project's images; an event of it starts a run."""
    return f"{project.name}.data"


def scaling_resource_id(project: Project) -> str:
    """How Application Auto Scaling names the endpoint's production variant."""
    return f"endpoint/{endpoint_name(project)}/variant/{VARIANT}"


def project_uri(bucket: str, project: Project) -> str:
    return f"s3://{bucket}/{project.name}"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """``s3://bucket/some/key`` as (``bucket``, ``some/key``).

    :raises ValueError: if it is not an S3 address.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"{uri!r} is not an S3 address; expected s3://<bucket>/<key>.")
    return bucket, key
