"""Deploy the CloudFormation stack to local AWS, as an administrator would do once to an account."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from include.laptop.environment import REGION
from include.laptop.places import REPOSITORY
from include.pipeline.infrastructure import DEFAULT_STACK

TEMPLATE = REPOSITORY / "include" / "infrastructure" / "stack.yaml"


def client(service: str, aws_url: str) -> Any:
    """Return a client of the local AWS at `aws_url`."""
    # Addresses that S3's older signature signs are half as long; local AWS takes either.
    signature = {"signature_version": "s3", "s3": {"addressing_style": "path"}} if service == "s3" else {}
    return boto3.client(
        service,
        endpoint_url=aws_url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - local AWS takes any
        config=Config(proxies={}, **signature),
    )


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
