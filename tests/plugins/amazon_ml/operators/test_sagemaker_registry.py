"""The operator for the model registry against local AWS: models are registered once and as requested."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.utils.sagemaker import ApprovalStatus
from airflow.providers.common.compat.sdk import AirflowException
from amazon_ml.operators.sagemaker_registry import KEY_PROPERTY, SageMakerRegisterModelPackageOperator
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.endpoints import create_endpoint
from tests.environments import WITHOUT_TORCH


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def operator(group: str, key: str, **kwargs: Any) -> SageMakerRegisterModelPackageOperator:
    kwargs = {
        "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1",
        "model_url": "s3://bucket/model.tar.gz",
        "content_types": ["image/jpeg", "application/json"],
        "response_types": ["application/json"],
        "poll_interval": 0.01,
        **kwargs,
    }
    return SageMakerRegisterModelPackageOperator(
        task_id="register", package_group_name=group, key=key, **kwargs
    )


class TestSageMakerRegisterModelPackageOperator:
    def versions(self, aws: Any, group: str) -> list[int]:
        found = aws.client("sagemaker").list_model_packages(ModelPackageGroupName=group)
        return sorted(package["ModelPackageVersion"] for package in found["ModelPackageSummaryList"])

    def test_template_fields(self) -> None:
        assert set(SageMakerRegisterModelPackageOperator.template_fields) == {
            "aws_conn_id",
            "content_types",
            "customer_metadata",
            "environment",
            "image_uri",
            "key",
            "model_approval",
            "model_metrics_uri",
            "model_url",
            "package_desc",
            "package_group_desc",
            "package_group_name",
            "region_name",
            "response_types",
            "tags",
            "verify",
        }

    def test_group_is_created_and_package_matches_the_request(self, aws: Any, group: str) -> None:
        tags = [{"Key": "project", "Value": "birds"}]
        result = operator(
            group,
            "job-1",
            environment={"SAGEMAKER_PROGRAM": "inference.py"},
            model_metrics_uri="s3://bucket/evaluation.json",
            customer_metadata={"accuracy": "0.9"},
            package_desc="Knows birds.",
            package_group_desc="All birds.",
            tags=tags,
        ).execute({})
        sagemaker = aws.client("sagemaker")
        found = sagemaker.describe_model_package_group(ModelPackageGroupName=group)
        package = sagemaker.describe_model_package(ModelPackageName=result["arn"])
        assert result == {
            "arn": package["ModelPackageArn"],
            "version": 1,
            "approval_status": "PendingManualApproval",
        }
        assert found["ModelPackageGroupDescription"] == "All birds."
        assert sagemaker.list_tags(ResourceArn=found["ModelPackageGroupArn"])["Tags"] == tags
        assert package["ModelPackageDescription"] == "Knows birds."
        assert package["InferenceSpecification"] == {
            "Containers": [
                {
                    "Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1",
                    "ModelDataUrl": "s3://bucket/model.tar.gz",
                    "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
                }
            ],
            "SupportedContentTypes": ["image/jpeg", "application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        }
        assert package["ModelMetrics"]["ModelQuality"]["Statistics"] == {
            "ContentType": "application/json",
            "S3Uri": "s3://bucket/evaluation.json",
        }
        assert package["CustomerMetadataProperties"] == {"accuracy": "0.9", KEY_PROPERTY: "job-1"}

    @pytest.mark.parametrize("approval", [ApprovalStatus.APPROVED, "Approved"])
    def test_package_has_the_requested_initial_approval(self, aws: Any, group: str, approval: Any) -> None:
        assert operator(group, "job-1", model_approval=approval).execute({})["approval_status"] == "Approved"

    def test_retry_returns_the_package_with_its_current_approval(self, aws: Any, group: str) -> None:
        first = operator(group, "job-1").execute({})
        operator(group, "job-2").execute({})
        aws.client("sagemaker").update_model_package(
            ModelPackageArn=first["arn"],
            ModelApprovalStatus="Approved",
            CustomerMetadataProperties={KEY_PROPERTY: "job-1"},
        )
        assert operator(group, "job-1").execute({}) == {**first, "approval_status": "Approved"}
        assert self.versions(aws, group) == [1, 2]

    def test_retry_after_a_lost_response_finds_the_package(
        self, aws: Any, group: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = aws.client("sagemaker")

        def create_and_lose(**arguments: Any) -> None:
            type(client).create_model_package(client, **arguments)
            raise ConnectionClosedError(endpoint_url=aws.url)

        with monkeypatch.context() as patched:
            patched.setattr(client, "create_model_package", create_and_lose)
            patched.setattr(SageMakerHook, "conn", client)
            with pytest.raises(ConnectionClosedError):
                operator(group, "job-1").execute({})
        assert operator(group, "job-1").execute({})["version"] == 1
        assert self.versions(aws, group) == [1]

    def test_existing_group_keeps_its_description(self, aws: Any, group: str) -> None:
        for description in ("first", "second"):
            operator(group, "job-1", package_group_desc=description).execute({})
        found = aws.client("sagemaker").describe_model_package_group(ModelPackageGroupName=group)
        assert found["ModelPackageGroupDescription"] == "first"

    def test_registered_package_can_be_deployed(
        self, aws: Any, group: str, model_artifact: str, eventually: Callable[..., Any]
    ) -> None:
        arn = operator(group, "job-1", model_url=model_artifact).execute({})["arn"]
        sagemaker = aws.client("sagemaker")
        sagemaker.create_model(
            ModelName=group,
            ExecutionRoleArn="arn:aws:iam::123456789012:role/any",
            Containers=[{"ModelPackageName": arn, "Environment": WITHOUT_TORCH}],
        )
        create_endpoint(sagemaker, group)
        describe = sagemaker.describe_endpoint
        eventually(lambda: describe(EndpointName=group)["EndpointStatus"] != "Creating")
        status = describe(EndpointName=group)["EndpointStatus"]
        sagemaker.delete_endpoint(EndpointName=group)
        assert status == "InService"

    def test_rejected_request_is_raised(self, aws: Any, group: str) -> None:
        with pytest.raises(ClientError, match="Perhaps"):
            operator(group, "job-1", model_approval="Perhaps").execute({})


class ScriptedRegistry:
    """A client of a registry in states that local AWS does not have."""

    def __init__(self, *statuses: str, group_error: str = "", listed: tuple[str, ...] = ()) -> None:
        self.statuses = list(statuses)
        self.group_error = group_error
        self.listed = listed
        self.created: list[dict[str, Any]] = []

    def describe_model_package_group(self, **arguments: Any) -> None:
        raise self._error("ModelPackageGroup arn does not exist.")

    def create_model_package_group(self, **arguments: Any) -> None:
        if self.group_error:
            raise self._error(self.group_error)

    def get_paginator(self, operation: str) -> Any:
        packages = [
            {"ModelPackageArn": f"arn/{index}", "ModelPackageStatus": status}
            for index, status in enumerate(self.listed)
        ]
        return type("Pages", (), {"paginate": lambda *_, **__: [{"ModelPackageSummaryList": packages}]})()

    def create_model_package(self, **arguments: Any) -> dict[str, str]:
        self.created.append(arguments)
        return {"ModelPackageArn": "arn/new"}

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        return {
            "ModelPackageStatus": self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0],
            "ModelPackageVersion": 7,
            "ModelApprovalStatus": "Approved",
            "CustomerMetadataProperties": {KEY_PROPERTY: "job-1"},
            "ModelPackageStatusDetails": {
                "ValidationStatuses": [
                    {"Name": "any", "Status": "Failed", "FailureReason": "the image is not there"}
                ],
                "ImageScanStatuses": [],
            },
        }

    @staticmethod
    def _error(message: str) -> ClientError:
        return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "any")


class TestSageMakerRegisterModelPackageOperatorInScriptedStates:
    @pytest.fixture
    def script(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedRegistry]:
        def use(*statuses: str, **kwargs: Any) -> ScriptedRegistry:
            client = ScriptedRegistry(*statuses, **kwargs)
            monkeypatch.setattr(SageMakerHook, "conn", client)
            return client

        return use

    def test_incomplete_package_is_waited_for(self, script: Any) -> None:
        script("Pending", "InProgress", "Completed")
        assert operator("group", "job-1").execute({})["version"] == 7

    def test_package_that_does_not_complete_in_time_is_an_error(self, script: Any) -> None:
        script("InProgress")
        with pytest.raises(AirflowException, match="arn/new is still InProgress after 0 s"):
            operator("group", "job-1", max_wait=timedelta(seconds=0.05)).execute({})

    def test_failed_package_is_an_error_with_sagemakers_reason(self, script: Any) -> None:
        script("Failed")
        with pytest.raises(AirflowException, match="arn/new is Failed: the image is not there"):
            operator("group", "job-1").execute({})

    def test_failed_package_is_ignored(self, script: Any) -> None:
        client = script("Completed", listed=("Failed", "Deleting"))
        assert operator("group", "job-1").execute({})["arn"] == "arn/new"
        assert len(client.created) == 1

    def test_package_of_another_try_is_waited_for(self, script: Any) -> None:
        client = script("InProgress", "InProgress", "Completed", listed=("InProgress",))
        assert operator("group", "job-1").execute({})["arn"] == "arn/0"
        assert client.created == []

    def test_group_that_is_created_in_the_meantime_is_accepted(self, script: Any) -> None:
        script("Completed", group_error="Model Package Group already exists: arn")
        assert operator("group", "job-1").execute({})["arn"] == "arn/new"

    def test_error_of_a_group_creation_is_raised(self, script: Any) -> None:
        script("Completed", group_error="You may not.")
        with pytest.raises(ClientError, match="You may not"):
            operator("group", "job-1").execute({})
