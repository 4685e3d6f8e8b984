"""What SageMaker answers about model packages and their groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.setting import Setting

row = pytest.mark.row
UNFIT = [pytest.param("two\nlines", id="line break"), pytest.param("x" * 1025, id="too long")]


@pytest.fixture
def sagemaker(client: Callable[[str], Any]) -> Any:
    return client("sagemaker")


@pytest.fixture
def group(sagemaker: Any, unique: str) -> Iterator[str]:
    """A group of the test's own, which is deleted with its versions."""
    sagemaker.create_model_package_group(ModelPackageGroupName=unique)
    yield unique
    for package in sagemaker.list_model_packages(ModelPackageGroupName=unique)["ModelPackageSummaryList"]:
        sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    with suppress(ClientError):  # the test may have deleted it
        sagemaker.delete_model_package_group(ModelPackageGroupName=unique)


@pytest.fixture
def register(sagemaker: Any, group: str, setting: Setting) -> Callable[..., str]:
    """Register a version in the group; returns its ARN."""

    def create(**members: Any) -> str:
        specification = {
            "Containers": [{"Image": setting.inference_image, "ModelDataUrl": setting.model_data}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        }
        return sagemaker.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification=specification, **members
        )["ModelPackageArn"]

    return create


@row("SM22")
@pytest.mark.parametrize("text", UNFIT)
def test_the_description_of_an_approval_is_one_line(
    sagemaker: Any, register: Callable[..., str], refused: Any, text: str
) -> None:
    arn = register()
    with refused("ValidationException", "1 validation error detected: Value '"):
        sagemaker.update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription=text
        )


@row("SM22")
@pytest.mark.parametrize("text", [*UNFIT, pytest.param("\x1b[31mred", id="control character")])
def test_the_descriptions_of_a_version_and_of_a_group_have_no_control_characters(
    sagemaker: Any, register: Callable[..., str], refused: Any, unique: str, text: str
) -> None:
    with refused("ValidationException", "failed to satisfy constraint"):
        register(ModelPackageDescription=text)
    with refused("ValidationException", "failed to satisfy constraint"):
        sagemaker.create_model_package_group(
            ModelPackageGroupName=f"{unique}-2", ModelPackageGroupDescription=text
        )


@row("SM22")
def test_letters_of_any_language_and_symbols_may_be_described(
    register: Callable[..., str], sagemaker: Any
) -> None:
    text = "Größe, 犬, 🐕 ≥ 5 %"
    arn = register(ModelPackageDescription=text)
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert found["ModelPackageDescription"] == text


@row("SM35")
def test_an_unknown_group(sagemaker: Any, refused: Any, unique: str) -> None:
    with refused("ValidationException", f"model-package-group/{unique} does not exist."):
        sagemaker.describe_model_package_group(ModelPackageGroupName=unique)


@row("SM35")
@row("SM38")
@pytest.mark.parametrize(
    ("operation", "key", "members"),
    [
        ("describe_model_package", "ModelPackageName", {}),
        ("delete_model_package", "ModelPackageName", {}),
        ("update_model_package", "ModelPackageArn", {"ModelApprovalStatus": "Approved"}),
    ],
)
def test_an_unknown_version(
    sagemaker: Any, refused: Any, group: str, operation: str, key: str, members: dict[str, str]
) -> None:
    arn = sagemaker.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupArn"]
    package = f"{arn.replace('model-package-group', 'model-package')}/9"
    with refused("ValidationException", f"ModelPackage {package} does not exist."):
        getattr(sagemaker, operation)(**{key: package}, **members)


@row("SM36")
def test_a_group_whose_name_is_taken_stays_as_it_is(
    sagemaker: Any, register: Callable[..., str], refused: Any, group: str
) -> None:
    arn = register()
    with refused("ValidationException", "Model Package Group already exists : arn:"):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelPackageGroupName"] == group


@row("SM37")
def test_a_group_with_versions_can_not_be_deleted(
    sagemaker: Any, register: Callable[..., str], refused: Any, group: str
) -> None:
    register()
    with refused("ConflictException"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)


@row("SM40")
def test_without_a_group_versions_are_not_listed(sagemaker: Any, register: Callable[..., str]) -> None:
    arn = register()
    pages = sagemaker.get_paginator("list_model_packages").paginate()
    assert arn not in [item["ModelPackageArn"] for page in pages for item in page["ModelPackageSummaryList"]]


@row("SM41")
def test_a_version_completes(sagemaker: Any, register: Callable[..., str], eventually: Any) -> None:
    arn = register()
    eventually(
        lambda: sagemaker.describe_model_package(ModelPackageName=arn)["ModelPackageStatus"] == "Completed"
    )


@row("SM43")
@pytest.mark.parametrize("value", ["a\nb", "a*b", "", "x" * 257])
def test_properties_are_of_few_characters(register: Callable[..., str], value: str) -> None:
    with pytest.raises(Exception, match=r"failed to satisfy constraint|Invalid length"):
        register(CustomerMetadataProperties={"key": value})


@row("SM44")
def test_the_number_of_a_version_is_never_given_again(sagemaker: Any, register: Callable[..., str]) -> None:
    register()
    sagemaker.delete_model_package(ModelPackageName=register())
    assert register().endswith("/3")
