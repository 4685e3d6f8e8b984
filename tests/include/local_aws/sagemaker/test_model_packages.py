"""Deletion of model packages and their groups, which moto keeps."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sagemaker.models import SageMakerModelBackend


@pytest.fixture
def register(sagemaker: Any, name: str) -> Callable[[], str]:
    """Register a version in the test's group; returns its ARN."""
    sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "project", "Value": name}])

    def version() -> str:
        return sagemaker.create_model_package(
            ModelPackageGroupName=name,
            InferenceSpecification={
                "Containers": [{"Image": "pytorch", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )["ModelPackageArn"]

    return version


def versions(sagemaker: Any, group: str) -> list[int]:
    listed = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    return sorted(package["ModelPackageVersion"] for package in listed)


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(
    sagemaker: Any, name: str, register: Callable[[], str]
) -> None:
    first, _, third = register(), register(), register()
    sagemaker.delete_model_package(ModelPackageName=first)
    sagemaker.delete_model_package(ModelPackageName=third)
    assert versions(sagemaker, name) == [2]
    with pytest.raises(ClientError, match=r"ValidationException.*does not exist"):
        sagemaker.describe_model_package(ModelPackageName=first)
    assert register().endswith("/4")
    assert versions(sagemaker, name) == [2, 4]


def test_a_group_can_be_deleted_only_when_it_is_empty(
    sagemaker: Any, local_aws: Any, name: str, register: Callable[[], str]
) -> None:
    package = register()
    with pytest.raises(ClientError, match=r"ConflictException.*still has 1 model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=name)
    sagemaker.delete_model_package(ModelPackageName=package)
    sagemaker.delete_model_package_group(ModelPackageGroupName=name)
    with pytest.raises(ClientError, match=r"ValidationException.*does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    tagged = local_aws.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": [name]}]
    )
    assert tagged["ResourceTagMappingList"] == []


@pytest.mark.parametrize(
    ("call", "members", "sentence"),
    [
        ("delete_model_package", {"ModelPackageName": "none"}, "ModelPackage .*/none does not exist"),
        ("delete_model_package_group", {"ModelPackageGroupName": "none"}, "does not exist"),
    ],
)
def test_what_is_missing_cannot_be_deleted(
    sagemaker: Any, call: str, members: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ClientError, match=f"ValidationException.*{sentence}"):
        getattr(sagemaker, call)(**members)


def test_moto_keeps_packages_and_groups_as_they_are_taken_to_be_kept() -> None:
    backend = SageMakerModelBackend("eu-west-3", "123456789012")
    assert (backend.model_packages, backend.model_package_groups) == ({}, {})
    assert backend.model_package_name_mapping == {}


def test_a_package_has_a_name_or_a_group(sagemaker: Any, name: str) -> None:
    with pytest.raises(ClientError, match="Both ModelPackageName and ModelPackageGroupName are provided"):
        sagemaker.create_model_package(ModelPackageName=name, ModelPackageGroupName=name)
