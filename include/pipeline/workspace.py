"""The project's workspace: a notebook instance, what is on it, and what runs when it starts."""

from __future__ import annotations

import base64
import shlex
from typing import Any

from include.pipeline import packages
from include.pipeline.infrastructure import Infrastructure, InfrastructureError, stack_name
from include.pipeline.names import ALIAS, function_name, tag_list, tags, workspace_name
from include.pipeline.settings import Project

PLATFORM = "notebook-al2023-v1"
"""Amazon Linux 2023 with JupyterLab 4; AWS has made none on Amazon Linux 2 since July 2026."""


def role(found: Infrastructure) -> str:
    """The role that a notebook instance works with.

    :raises InfrastructureError: if the stack has none.
    """
    if found.workspace_role is None:
        raise InfrastructureError(
            f"Stack {stack_name()!r} has no role for workspaces: it was deployed from an earlier stack.yaml. Deploy "
            "include/infrastructure/stack.yaml again."
        )
    return found.workspace_role


def upload(project: Project, found: Infrastructure, region: str, s3: Any) -> str:
    """Put what a notebook instance fetches when it starts to S3; returns its address."""
    settings = {
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


def lifecycle_config(project: Project, archive: str, region: str) -> dict[str, Any]:
    """What runs each time the notebook instance starts.

    There is no script for its creation alone: what a start brings is right for the first one too.

    :param archive: the answer of :func:`upload`.
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


def notebook_instance(project: Project, role_arn: str) -> dict[str, Any]:
    """The notebook instance itself.

    Its user is not root, and nothing of ours needs root: lifecycle scripts have it in any case. It is in SageMaker's
    own network, as jobs and endpoint are, so it can do without the internet only in a VPC. AWS encrypts its disk.
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
