"""Deploy the CloudFormation stack to local AWS, as an administrator does once in an AWS account."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from include.laptop.environment import REGION
from include.laptop.stack_paths import REPOSITORY
from include.pipeline.infrastructure import DEFAULT_STACK

TEMPLATE = REPOSITORY / "include" / "infrastructure" / "stack.yaml"

# Ignore the profile of the user, which may not exist.
WITHOUT_THE_USERS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def client(service: str, aws_url: str, **options: Any) -> Any:
    """Return a client for the local AWS at `aws_url`; `options` are the arguments of botocore's Config."""
    session = boto3.Session(
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - local AWS accepts any
        botocore_session=botocore.session.Session(session_vars=WITHOUT_THE_USERS),
    )
    return session.client(
        service,
        endpoint_url=aws_url,
        config=Config(proxies={}, s3={"addressing_style": "path"}, **options),
    )


def clients(aws_url: str, **options: Any) -> Callable[[str], Any]:
    """Return a factory for boto3 clients of local AWS, which caches them; `options` are those of `client`."""
    return cache(lambda service: client(service, aws_url, **options))


def deploy(aws_url: str, template: Path = TEMPLATE) -> Literal["created", "updated"] | None:
    """Create or update the stack in the local AWS at `aws_url`; return None if it was up to date."""
    cloudformation = client("cloudformation", aws_url)
    body = template.read_text(encoding="utf-8")
    deployed = _deployed(cloudformation)
    if deployed == body:
        return None
    action, waiter = (
        (cloudformation.create_stack, "stack_create_complete")
        if deployed is None
        else (cloudformation.update_stack, "stack_update_complete")
    )
    action(
        StackName=DEFAULT_STACK,
        TemplateBody=body,
        Parameters=[
            {"ParameterKey": "EnforceTls", "ParameterValue": "false"},
            {"ParameterKey": "ServingImage", "ParameterValue": "true"},
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter(waiter).wait(StackName=DEFAULT_STACK, WaiterConfig={"Delay": 1})
    return "created" if deployed is None else "updated"


def _deployed(cloudformation: Any) -> Any:
    try:
        return cloudformation.get_template(StackName=DEFAULT_STACK)["TemplateBody"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise


if __name__ == "__main__":
    deploy(sys.argv[1])
