"""The project's workspace: a notebook instance, the files on it, and the script that runs when it starts."""

from __future__ import annotations

import base64
import shlex
from typing import Any

from include.aws.documents import AwsRequest
from include.pipeline import packages
from include.pipeline.infrastructure import Infrastructure, InfrastructureError, stack_name
from include.pipeline.names import ALIAS, function_name, tag_list, tags, workspace_name
from include.pipeline.settings import Project

PLATFORM = "notebook-al2023-v1"
"""Amazon Linux 2023 with JupyterLab 4. AWS no longer creates instances on Amazon Linux 2 since July 2026."""


def role(found: Infrastructure) -> str:
    """Return the IAM role of notebook instances.

    :raises InfrastructureError: if the stack has none.
    """
    if found.workspace_role is None:
        raise InfrastructureError(
            f"Stack {stack_name()!r} has no role for workspaces: it was deployed from an earlier stack.yaml. Deploy "
            "include/infrastructure/stack.yaml again."
        )
    return found.workspace_role


def upload(project: Project, found: Infrastructure, region: str, s3: Any) -> str:
    """Upload the archive that a notebook instance downloads when it starts, and return its S3 URI."""
    settings: dict[str, object] = {
        "name": project.name,
        "aws_name": project.aws_name,
        "region": region,
        "bucket": found.bucket,
        "role": found.sagemaker_role,
        "function": function_name(project),
        "alias": ALIAS,
        "tags": tags(project),
    }
    return packages.upload_workspace(project, found.bucket, settings, s3)


def lifecycle_config(project: Project, archive: str, region: str) -> AwsRequest:
    """Return the lifecycle configuration, with the script that runs each time the notebook instance starts.

    A separate script for the creation is not needed, because the first start runs this one too.

    :param archive: the result of :func:`upload`.
    """
    minutes = project.workspace.idle_stop_minutes
    values = {
        "archive": archive,
        "region": region,
        "project": project.name,
        "instance": workspace_name(project),
        "idle_minutes": "" if minutes is None else str(minutes),
    }
    lines = ["#!/bin/bash", *(f"{name}={shlex.quote(value)}" for name, value in values.items())]
    body = (packages.INCLUDE / "workspace" / "on_start.sh").read_text(encoding="utf-8")
    script = "\n".join([*lines, body])
    return {
        "NotebookInstanceLifecycleConfigName": workspace_name(project),
        "OnStart": [{"Content": base64.b64encode(script.encode()).decode()}],
        "Tags": tag_list(project),
    }


def notebook_instance(project: Project, role_arn: str) -> AwsRequest:
    """Return the request for the notebook instance.

    Its user has no root access, which nothing here needs: lifecycle scripts always run as root. The instance is in
    SageMaker's network, as jobs and endpoint are. Without internet access, it would need a VPC. AWS encrypts its disk.
    """
    return {
        "NotebookInstanceName": workspace_name(project),
        "InstanceType": project.workspace.instance_type,
        "RoleArn": role_arn,
        "LifecycleConfigName": workspace_name(project),
        "VolumeSizeInGB": project.workspace.volume_gb,
        "DirectInternetAccess": "Enabled",
        "RootAccess": "Disabled",
        "PlatformIdentifier": PLATFORM,
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
        "Tags": tag_list(project),
    }
