"""The live endpoint, as described by SageMaker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from include.pipeline import live
from include.pipeline.project_files import PROJECTS_FOLDER, load_project

SAMPLE = load_project(PROJECTS_FOLDER / "sample.yaml")
REPOSITORY = "763104351884.dkr.ecr.us-east-1.amazonaws.com/ray"
DIGEST = f"sha256:{'0a' * 32}"


@pytest.fixture
def sagemaker() -> Iterator[Stubber]:
    """A client with stubbed answers, which botocore validates."""
    client = boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield stubber


def describe(sagemaker: Stubber, **variant: Any) -> str | None:
    """Return the digest of an endpoint with one variant."""
    sagemaker.add_response(
        "describe_endpoint",
        {
            "EndpointName": "sample",
            "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/sample",
            "EndpointStatus": "InService",
            "CreationTime": datetime.now(UTC),
            "LastModifiedTime": datetime.now(UTC),
            "ProductionVariants": [{"VariantName": "main", **variant}],
        },
        {"EndpointName": "sample"},
    )
    return live.image_digest(SAMPLE, sagemaker.client)


def test_the_digest_is_the_one_that_sagemaker_resolved(sagemaker: Stubber) -> None:
    image = {
        "SpecifiedImage": f"{REPOSITORY}:serve-ml-sagemaker-cpu-v1.4",
        "ResolvedImage": f"{REPOSITORY}@{DIGEST}",
    }
    assert describe(sagemaker, DeployedImages=[image]) == DIGEST


@pytest.mark.parametrize(
    "variant", [{}, {"DeployedImages": []}, {"DeployedImages": [{"SpecifiedImage": "i"}]}]
)
def test_without_a_resolved_image_there_is_no_digest(sagemaker: Stubber, variant: dict[str, Any]) -> None:
    assert describe(sagemaker, **variant) is None


def test_without_an_endpoint_there_is_no_digest(sagemaker: Stubber) -> None:
    sagemaker.add_client_error(
        "describe_endpoint", "ValidationException", 'Could not find endpoint "arn".', http_status_code=400
    )
    assert live.image_digest(SAMPLE, sagemaker.client) is None
