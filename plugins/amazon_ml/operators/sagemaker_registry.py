"""Register models in the SageMaker Model Registry."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.amazon.aws.utils.sagemaker import ApprovalStatus
from airflow.providers.common.compat.sdk import AirflowException
from botocore.exceptions import ClientError

from amazon_ml.operators.sagemaker_base import is_missing
from include.aws.documents import AwsAnswer, AwsRequest

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY_PROPERTY = "registration_key"
"""The customer metadata property that stores the caller's key."""


class RegisteredPackage(TypedDict):
    """A model package in its group."""

    arn: str
    version: int
    approval_status: str


class SageMakerRegisterModelPackageOperator(AwsBaseOperator[SageMakerHook]):
    """
    Register a version of a model exactly once in a model package group; create the group if it does not exist.

    The group assigns the version of a package, so a package has no name by which a retry could find it. The caller's
    key, stored in the package's customer metadata, replaces the name. An existing package with this key is returned
    unchanged, with its current approval status.

    :param package_group_name: The name of the model package group (templated).
    :param key: The identifier of the registration, such as the name of the training job; unique in the group
        (templated).
    :param image_uri: The container image that serves the model (templated).
    :param model_url: The S3 URI of the model's ``.tar.gz`` (templated).
    :param content_types: The media types of the model's requests (templated).
    :param response_types: The media types of the model's responses (templated).
    :param environment: The container's environment variables (templated).
    :param model_metrics_uri: The S3 URI of the model quality metrics, in JSON (templated).
    :param customer_metadata: Additional properties of the package (templated).
    :param model_approval: The initial approval status of the package (templated).
    :param package_group_desc: The description of a new group (templated).
    :param package_desc: The description of the package (templated).
    :param tags: The tags of a new group; packages can't have tags (templated).
    :param poll_interval: The number of seconds between two polls of a package that is not complete yet.
    :param max_wait: The maximum time to wait for the package, a timedelta or seconds.
    :return: ``arn``, ``version`` and ``approval_status`` of the package.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields(
        "package_group_name",
        "key",
        "image_uri",
        "model_url",
        "content_types",
        "response_types",
        "environment",
        "model_metrics_uri",
        "customer_metadata",
        "model_approval",
        "package_group_desc",
        "package_desc",
        "tags",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"environment": "json", "customer_metadata": "json"}
    ui_color = "#ded7cf"

    def __init__(
        self,
        *,
        package_group_name: str,
        key: str,
        image_uri: str,
        model_url: str,
        content_types: list[str],
        response_types: list[str],
        environment: dict[str, str] | None = None,
        model_metrics_uri: str | None = None,
        customer_metadata: dict[str, str] | None = None,
        model_approval: ApprovalStatus | str = ApprovalStatus.PENDING_MANUAL_APPROVAL,
        package_group_desc: str = "",
        package_desc: str = "",
        tags: list[dict[str, str]] | None = None,
        poll_interval: float = 5,
        max_wait: timedelta | float = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.package_group_name = package_group_name
        self.key = key
        self.image_uri = image_uri
        self.model_url = model_url
        self.content_types = content_types
        self.response_types = response_types
        self.environment = environment
        self.model_metrics_uri = model_metrics_uri
        self.customer_metadata = customer_metadata
        self.model_approval = model_approval
        self.package_group_desc = package_group_desc
        self.package_desc = package_desc
        self.tags = tags
        self.poll_interval = poll_interval
        self.max_wait = max_wait

    def execute(self, context: Context) -> RegisteredPackage:
        """
        Find the package, or register it.

        :raises AirflowException: If SageMaker can't complete the package, or not within ``max_wait``.
        """
        self._create_group_if_absent()
        arn = self._registered()
        if arn:
            self.log.info("%s is already registered: %s.", self.key, arn)
        else:
            # botocore adds a client token, so that its own retries don't register twice either
            arn = self.hook.conn.create_model_package(**self._request())["ModelPackageArn"]
            self.log.info("Registered %s: %s.", self.key, arn)
        package = self._completed(arn)
        return {
            "arn": arn,
            "version": package["ModelPackageVersion"],
            "approval_status": package["ModelApprovalStatus"],
        }

    def _create_group_if_absent(self) -> None:
        conn = self.hook.conn
        try:
            conn.describe_model_package_group(ModelPackageGroupName=self.package_group_name)
            return
        except ClientError as error:
            if not is_missing(error) and "does not exist" not in str(error):
                raise
        optional = {"ModelPackageGroupDescription": self.package_group_desc, "Tags": self.tags}
        try:
            conn.create_model_package_group(
                ModelPackageGroupName=self.package_group_name,
                **{name: value for name, value in optional.items() if value},
            )
            self.log.info("Created model package group %s.", self.package_group_name)
        except ClientError as error:
            if "already exists" not in str(error):
                raise
            self.log.info("%s was created in the meantime.", self.package_group_name)

    def _registered(self) -> str | None:
        """Return the ARN of the package with the key, starting with the latest package."""
        pages = self.hook.conn.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.package_group_name, SortBy="CreationTime", SortOrder="Descending"
        )
        for summary in (summary for page in pages for summary in page["ModelPackageSummaryList"]):
            if summary["ModelPackageStatus"] in ("Failed", "Deleting"):
                continue
            # the list does not include customer metadata
            package = self._describe(summary["ModelPackageArn"])
            if package.get("CustomerMetadataProperties", {}).get(KEY_PROPERTY) == self.key:
                return str(summary["ModelPackageArn"])
        return None

    def _completed(self, arn: str) -> AwsAnswer:
        limit = self.max_wait.total_seconds() if isinstance(self.max_wait, timedelta) else self.max_wait
        deadline = time.monotonic() + limit
        while (package := self._describe(arn))["ModelPackageStatus"] in ("Pending", "InProgress"):
            if time.monotonic() >= deadline:
                raise AirflowException(f"{arn} is still {package['ModelPackageStatus']} after {limit:.0f} s.")
            time.sleep(self.poll_interval)
        if package["ModelPackageStatus"] != "Completed":
            details = package.get("ModelPackageStatusDetails", {})
            reasons = [
                status["FailureReason"]
                for statuses in (details.get("ValidationStatuses", []), details.get("ImageScanStatuses", []))
                for status in statuses
                if status.get("FailureReason")
            ]
            raise AirflowException(
                f"{arn} is {package['ModelPackageStatus']}: {'; '.join(reasons) or 'SageMaker gives no reason.'}"
            )
        return package

    def _describe(self, arn: str) -> AwsAnswer:
        found: AwsAnswer = self.hook.conn.describe_model_package(ModelPackageName=arn)
        return found

    def _request(self) -> AwsRequest:
        container: AwsRequest = {"Image": self.image_uri, "ModelDataUrl": self.model_url}
        if self.environment:
            container["Environment"] = self.environment
        request: AwsRequest = {
            "ModelPackageGroupName": self.package_group_name,
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": self.content_types,
                "SupportedResponseMIMETypes": self.response_types,
            },
            "ModelApprovalStatus": (
                self.model_approval.value
                if isinstance(self.model_approval, ApprovalStatus)
                else self.model_approval
            ),
            "CustomerMetadataProperties": {**(self.customer_metadata or {}), KEY_PROPERTY: self.key},
        }
        if self.package_desc:
            request["ModelPackageDescription"] = self.package_desc
        if self.model_metrics_uri:
            quality = {"ContentType": "application/json", "S3Uri": self.model_metrics_uri}
            request["ModelMetrics"] = {"ModelQuality": {"Statistics": quality}}
        return request
