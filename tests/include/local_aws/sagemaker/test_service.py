"""What all of SageMaker's operations share: validation, tags, and leaving the rest to moto."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def model(sagemaker: Any, any_model: str, role: str, name: str) -> Iterator[str]:
    """The ARN of a model with the tag project."""
    yield sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=role,
        PrimaryContainer={"Image": "pytorch", "ModelDataUrl": any_model},
        Tags=[{"Key": "project", "Value": name}],
    )["ModelArn"]
    sagemaker.delete_model(ModelName=name)


@pytest.fixture
def unchecked(local_aws: Any) -> Any:
    """A client that sends what it is given, as other software than boto3 might."""
    return boto3.client(
        "sagemaker",
        endpoint_url=local_aws.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def tagged(local_aws: Any) -> Callable[[str], list[str]]:
    """List the ARNs with a tag project, as the Resource Groups Tagging API knows them."""
    client = local_aws.client("resourcegroupstaggingapi")

    def arns(project: str) -> list[str]:
        filters = [{"Key": "project", "Values": [project]}]
        found = client.get_resources(TagFilters=filters)["ResourceTagMappingList"]
        return [resource["ResourceARN"] for resource in found]

    return arns


def test_what_is_required_must_be_given(unchecked: Any) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*EndpointConfigName"):
        unchecked.create_endpoint(EndpointName="a")


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        pytest.param({"EndpointName": "not_a_name"}, "regular expression pattern", id="pattern"),
        pytest.param({"EndpointName": "a" * 64}, "length less than or equal to 63", id="length"),
        pytest.param({"Tags": [{"Key": "a", "Value": "no (brackets)"}]}, "Tags.1.member.Value", id="tag"),
    ],
)
def test_members_must_keep_to_the_model(sagemaker: Any, members: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ClientError, match=f"ValidationException.*{complaint}"):
        sagemaker.create_endpoint(**{"EndpointName": "a", "EndpointConfigName": "b", **members})


def test_values_must_be_among_those_of_an_enumeration(sagemaker: Any, name: str, role: str) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*enum value set"):
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{"VariantName": "a", "ModelName": "b", "InstanceType": "ml.abacus"}],
        )


def test_an_unknown_member_is_an_error(local_aws: Any) -> None:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        local_aws.url,
        data=b'{"ModelName": "a", "Color": "green"}',
        headers={"X-Amz-Target": "SageMaker.DescribeModel", "Content-Type": "application/x-amz-json-1.1"},
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request)
    assert raised.value.code == 400
    assert b"Color" in raised.value.read()


def test_tags_are_added_replaced_and_deleted(sagemaker: Any, model: str, name: str) -> None:
    def tags() -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=model)["Tags"]}

    sagemaker.add_tags(
        ResourceArn=model, Tags=[{"Key": "stage", "Value": "test"}, {"Key": "project", "Value": "other"}]
    )
    assert tags() == {"stage": "test", "project": "other"}
    sagemaker.delete_tags(ResourceArn=model, TagKeys=["stage"])
    assert tags() == {"project": "other"}


def test_tags_of_moto_s_own_resources_are_moto_s(sagemaker: Any, name: str) -> None:
    arn = sagemaker.create_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "project", "Value": "sample"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "project", "Value": "sample"}]


def test_the_tagging_api_lists_what_exists(
    sagemaker: Any, model: str, name: str, tagged: Callable[[str], list[str]]
) -> None:
    group = sagemaker.create_model_package_group(
        ModelPackageGroupName=name, Tags=[{"Key": "project", "Value": name}]
    )["ModelPackageGroupArn"]
    assert sorted(tagged(name)) == sorted([model, group])


def test_the_tagging_api_forgets_what_was_deleted(
    sagemaker: Any, any_model: str, role: str, name: str, tagged: Callable[[str], list[str]]
) -> None:
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=role,
        PrimaryContainer={"Image": "pytorch", "ModelDataUrl": any_model},
        Tags=[{"Key": "project", "Value": name}],
    )
    assert len(tagged(name)) == 1
    sagemaker.delete_model(ModelName=name)
    assert tagged(name) == []
