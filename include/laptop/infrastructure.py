"""Deploy the CloudFormation stack to local AWS, as an administrator would do once to an account."""

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
from include.laptop.places import REPOSITORY
from include.pipeline.infrastructure import DEFAULT_STACK

TEMPLATE = REPOSITORY / "include" / "infrastructure" / "stack.yaml"

# A profile of the user's, which may not exist, is no matter of local AWS.
WITHOUT_THE_USERS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def client(service: str, aws_url: str, **options: Any) -> Any:
    """Return a client of the local AWS at `aws_url`; `options` are those of botocore's Config."""
    session = boto3.Session(
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - local AWS takes any
        botocore_session=botocore.session.Session(session_vars=WITHOUT_THE_USERS),
    )
    return session.client(
        service,
        endpoint_url=aws_url,
        config=Config(proxies={}, s3={"addressing_style": "path"}, **options),
    )


def clients(aws_url: str, **options: Any) -> Callable[[str], Any]:
    """Return what makes the boto3 client of a service of local AWS, each once; `options` are those of `client`."""
    return cache(lambda service: client(service, aws_url, **options))


def deploy(aws_url: str, template: Path = TEMPLATE) -> Literal["created", "updated"] | None:
    """Create or update the stack in the local AWS at `aws_url`; return which, or None if it was up to date."""
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
        Parameters=[{"ParameterKey": "EnforceTls", "ParameterValue": "false"}],
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
