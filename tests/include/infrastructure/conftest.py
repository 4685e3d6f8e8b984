"""The stack, deployed to an account of moto's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.include.infrastructure import policies

TEMPLATE = Path(__file__).parents[3] / "include" / "infrastructure" / "stack.yaml"


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, dict[str, Any]]]:
    """The documents of the stack's policies, by principal and by their name in the template."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tried to parse AWS..S3..BucketPolicy")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        aws = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")
        aws.client("cloudformation").create_stack(
            StackName=policies.STACK, TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_IAM"]
        )
        yield policies.of_stack(aws.client)
