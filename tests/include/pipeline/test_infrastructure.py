"""The infrastructure stack: its outputs, and the errors if it is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from include.pipeline.infrastructure import (
    NEEDED_VERSION,
    VERSION_OUTPUT,
    InfrastructureError,
    MissingStackError,
    OldStackError,
    read_infrastructure,
)


def deploy(*outputs: str) -> None:
    template = {
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}},
        "Outputs": {name: {"Value": name.lower()} for name in outputs},
    }
    boto3.client("cloudformation").create_stack(
        StackName="image-classifier", TemplateBody=json.dumps(template)
    )


@pytest.mark.usefixtures("aws")
def test_outputs_are_read() -> None:
    deploy("BucketName", "SageMakerRoleArn", "FunctionRoleArn")
    found = read_infrastructure(boto3.client("cloudformation"))
    assert (found.bucket, found.sagemaker_role, found.function_role) == (
        "bucketname",
        "sagemakerrolearn",
        "functionrolearn",
    )


@pytest.mark.usefixtures("aws")
def test_a_missing_stack_is_reported_with_a_remedy() -> None:
    with pytest.raises(InfrastructureError, match=r"stack 'image-classifier' does not exist.*stack.yaml"):
        read_infrastructure(boto3.client("cloudformation"))


@pytest.mark.usefixtures("aws")
def test_on_local_aws_the_remedy_for_a_missing_stack_is_make_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", "local")
    with pytest.raises(InfrastructureError, match=r"does not exist in local AWS.*`make up`"):
        read_infrastructure(boto3.client("cloudformation"))


class Denied:
    """CloudFormation under the stack's own policy, which denies access to any other name."""

    def describe_stacks(self, **_: Any) -> Any:
        error = {
            "Code": "AccessDenied",
            "Message": "User: arn:aws:sts::1:assumed-role/airflow/x is not authorized to perform: "
            "cloudformation:DescribeStacks on resource: arn:aws:cloudformation:us-east-1:1:stack/image-classifier/*",
        }
        raise ClientError({"Error": error}, "DescribeStacks")


def test_a_denied_missing_stack_is_reported_with_a_remedy() -> None:
    with pytest.raises(
        MissingStackError,
        match=r"stack 'image-classifier' does not exist.*or Airflow has no permission.*stack\.yaml.*AirflowPolicy",
    ):
        read_infrastructure(Denied())


@pytest.mark.usefixtures("aws")
def test_missing_outputs_are_listed() -> None:
    deploy("BucketName")
    with pytest.raises(InfrastructureError, match="lacks the outputs FunctionRoleArn, SageMakerRoleArn"):
        read_infrastructure(boto3.client("cloudformation"))


@pytest.mark.usefixtures("aws")
def test_a_stack_without_a_version_can_be_read_but_not_used_for_runs() -> None:
    deploy("BucketName", "SageMakerRoleArn", "FunctionRoleArn")
    found = read_infrastructure(boto3.client("cloudformation"))
    assert found.version == 1
    with pytest.raises(
        OldStackError,
        match=r"'image-classifier' has version 1, but runs need version \d+\. Deploy it again: aws",
    ):
        found.check_version()


@pytest.mark.usefixtures("aws")
def test_a_stack_without_the_part_for_serving_images_says_how_to_add_it() -> None:
    deploy("BucketName", "SageMakerRoleArn", "FunctionRoleArn")
    found = read_infrastructure(boto3.client("cloudformation"))
    with pytest.raises(
        InfrastructureError,
        match=r"endpoint\.image is 'own', but stack 'image-classifier' has no part for serving images\. Add it: aws "
        r"cloudformation deploy .* --parameter-overrides ServingImage=true\. Or set endpoint\.image to 'ray'",
    ):
        found.check_serving_image()


@pytest.mark.usefixtures("aws")
def test_a_stack_with_the_part_for_serving_images_is_enough() -> None:
    deploy("BucketName", "SageMakerRoleArn", "FunctionRoleArn", "ServingRepositoryUri", "ServingBuild")
    found = read_infrastructure(boto3.client("cloudformation"))
    found.check_serving_image()
    assert (found.serving_repository, found.serving_build) == ("servingrepositoryuri", "servingbuild")


def test_the_stack_has_the_version_that_runs_need() -> None:
    outputs = (
        (Path(__file__).parents[3] / "include" / "infrastructure" / "stack.yaml")
        .read_text()
        .partition("\nOutputs:")[2]
    )
    version = re.search(rf"{VERSION_OUTPUT}:\n.*\n +Value: \"(\d+)\"", outputs)
    assert version is not None
    assert int(version[1]) == NEEDED_VERSION
