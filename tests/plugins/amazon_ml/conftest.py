"""Run operators against local AWS, as a worker does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

from tests.archives import ANSWERS_ALL, put_archive

BUCKET = "operators"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture(scope="session", autouse=True)
def quick_clients() -> Iterator[None]:
    """Skip the search of the stack for the caller of a hook, whose name goes into a header.

    It takes longer, the more modules the process has imported.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AwsGenericHook, "_get_caller", lambda *_: "Unknown")
        yield


@pytest.fixture
def aws(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local AWS as the default endpoint of the clients of boto3 and Airflow."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    return local_aws


@pytest.fixture
def with_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let operators store links to the AWS console, as on AWS."""
    monkeypatch.setattr("amazon_ml.links.console.is_aws", lambda url: True)


@pytest.fixture
def processing_config() -> Callable[..., dict[str, Any]]:
    """A processing job that runs a shell command."""

    def config(name: str, command: str) -> dict[str, Any]:
        return {
            "ProcessingJobName": name,
            "RoleArn": ROLE,
            "AppSpecification": {
                "ImageUri": "image",
                "ContainerEntrypoint": ["/bin/sh", "-c", command],
            },
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "output",
                        "S3Output": {
                            "S3Uri": f"s3://{BUCKET}/{name}",
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "Tags": [{"Key": "project", "Value": "birds"}],
        }

    return config


@pytest.fixture
def model_artifact(aws: Any) -> str:
    """The S3 URI of a model that accepts every request."""
    return put_archive(aws.client("s3"), f"s3://{BUCKET}/model.tar.gz", ANSWERS_ALL)
