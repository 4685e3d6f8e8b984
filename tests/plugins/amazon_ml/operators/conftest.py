"""Fixtures for the tests of the Lambda operators."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from botocore.stub import Stubber


@pytest.fixture
def role(aws: Any) -> Iterator[str]:
    """A role that Lambda may assume."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam, name = aws.client("iam"), f"function-{uuid.uuid4().hex[:8]}"
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    yield iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.delete_role(RoleName=name)


@pytest.fixture
def function(aws: Any) -> Iterator[str]:
    name, client = f"function-{uuid.uuid4().hex[:8]}", aws.client("lambda")
    yield name
    with suppress(client.exceptions.ResourceNotFoundException):  # where the test has deleted it
        client.delete_function(FunctionName=name)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Responses of Lambda that local AWS can't return; each is used once, in this order."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = LambdaHook(aws_conn_id=None).conn
    monkeypatch.setattr(LambdaHook, "conn", client)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()
