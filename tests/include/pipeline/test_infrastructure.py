"""The infrastructure stack: its outputs, and what is said where it is not there."""

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
def test_a_missing_stack_is_named_with_what_to_do() -> None:
    with pytest.raises(InfrastructureError, match=r"no CloudFormation stack 'image-classifier'.*stack.yaml"):
        read_infrastructure(boto3.client("cloudformation"))


@pytest.mark.usefixtures("aws")
def test_on_local_aws_a_missing_stack_is_made_by_make_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", "local")
    with pytest.raises(
        InfrastructureError, match=r"in local AWS, which keeps all it has in memory.*`make up`"
    ):
        read_infrastructure(boto3.client("cloudformation"))


class Denied:
    """CloudFormation as the stack's own policy shows it: another name than the stack's is not even missing."""

    def describe_stacks(self, **_: Any) -> Any:
        error = {
            "Code": "AccessDenied",
            "Message": "User: arn:aws:sts::1:assumed-role/airflow/x is not authorized to perform: "
            "cloudformation:DescribeStacks on resource: arn:aws:cloudformation:us-east-1:1:stack/image-classifier/*",
        }
        raise ClientError({"Error": error}, "DescribeStacks")


def test_a_missing_stack_that_the_stacks_own_policy_denies_is_named_with_what_to_do() -> None:
    with pytest.raises(
        MissingStackError,
        match=r"no CloudFormation stack 'image-classifier'.*or Airflow may not see it.*stack\.yaml.*AirflowPolicy",
    ):
        read_infrastructure(Denied())


@pytest.mark.usefixtures("aws")
def test_missing_outputs_are_named() -> None:
    deploy("BucketName")
    with pytest.raises(InfrastructureError, match="lacks the outputs FunctionRoleArn, SageMakerRoleArn"):
        read_infrastructure(boto3.client("cloudformation"))


@pytest.mark.usefixtures("aws")
def test_a_stack_without_a_version_is_read_and_refused_for_runs() -> None:
    deploy("BucketName", "SageMakerRoleArn", "FunctionRoleArn")
    found = read_infrastructure(boto3.client("cloudformation"))
    assert found.version == 1
    with pytest.raises(
        OldStackError,
        match=r"'image-classifier' has version 1, and runs need version \d+\. Deploy it again: aws",
    ):
        found.check_version()


def test_the_stack_has_the_version_that_runs_need() -> None:
    outputs = (
        (Path(__file__).parents[3] / "include" / "infrastructure" / "stack.yaml")
        .read_text()
        .partition("\nOutputs:")[2]
    )
    version = re.search(rf"{VERSION_OUTPUT}:\n.*\n +Value: \"(\d+)\"", outputs)
    assert version is not None
    assert int(version[1]) == NEEDED_VERSION
