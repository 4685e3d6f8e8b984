"""A project, a bucket in moto, and releases on local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.pipeline.settings import Project
from tests.include.pipeline.release import Release


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("IMAGE_CLASSIFIER_TARGET", raising=False)


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def s3(aws: None) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    return client


@pytest.fixture
def project() -> Project:
    return Project(name="birds", description="Tells birds apart.", poll_seconds=1)


@pytest.fixture
def release(local_aws: Any, eventually: Callable[..., Any]) -> Iterator[Release]:
    project = Project(name=f"p{uuid.uuid4().hex[:8]}", description="x", poll_seconds=1)
    release = Release(project, local_aws, eventually)
    yield release
    release.tear_down()
