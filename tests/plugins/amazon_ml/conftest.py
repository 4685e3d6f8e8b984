"""Operators run against local AWS, as a worker would run them."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import botocore.loaders
import pytest

BUCKET = "operators"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture(scope="session", autouse=True)
def descriptions() -> Iterator[None]:
    """Read the description of each service once: each client does, which takes longer than most that is tested."""
    with pytest.MonkeyPatch.context() as patch:
        read = functools.cache(botocore.loaders.JSONFileLoader().load_file)
        patch.setattr(botocore.loaders.JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture
def aws(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local AWS, where boto3's and Airflow's clients go by themselves."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    return local_aws


@pytest.fixture
def with_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let operators store links to the AWS console, as they do on AWS."""
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
    """The S3 address of a model that answers every request with its own name."""
    file = io.BytesIO()
    code = (
        b"def model_fn(model_dir): return None\n"
        b"def transform_fn(model, body, content_type, accept): return '{}', 'application/json'\n"
    )
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    aws.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=file.getvalue())
    return f"s3://{BUCKET}/model.tar.gz"
