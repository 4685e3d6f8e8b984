"""Deploy Lambda functions: code, configuration, version, reserved concurrency and function URL; and delete them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, BaseOperatorLink

from amazon_ml.links.console import persist_console_link
from amazon_ml.links.lambda_function import LambdaFunctionLink
from include.aws.documents import AwsAnswer, AwsRequest, RequestArgument

if TYPE_CHECKING:
    from airflow.sdk import Context


# How long Lambda may not be able to assume a new role.
NEW_ROLE_SECONDS = 120
NEW_ROLE = "cannot be assumed by Lambda"


class PublishedVersion(TypedDict):
    """A version of a function."""

    function: str
    version: str
    code_sha256: str


class ReservedConcurrency(TypedDict):
    """The reserved concurrency of a function; None for no limit."""

    function: str
    reserved_concurrent_executions: int | None


class FunctionUrl(TypedDict):
    """The URL of a function or an alias; None if there is none."""

    function: str
    qualifier: str | None
    url: str | None


class DeletedFunction(TypedDict):
    """Whether a function or a version existed and was deleted."""

    function: str
    qualifier: str | None
    deleted: bool


class LambdaBaseOperator(AwsBaseOperator[LambdaHook]):
    """
    Base class of the operators for one function, to which the task's page links.

    :param function_name: The name of the function (templated).
    """

    aws_hook_class = LambdaHook
    template_fields: Sequence[str] = aws_template_fields("function_name")
    operator_extra_links: Collection[BaseOperatorLink] = (LambdaFunctionLink(),)
    ui_color = "#ff7300"

    def __init__(self, *, function_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function_name = function_name

    def persist_link(self, context: Context) -> None:
        """Store the function for the link on the task's page."""
        persist_console_link(LambdaFunctionLink, context, self, function_name=self.function_name)


class LambdaDeployFunctionOperator(LambdaBaseOperator):
    """
    Create or update a function's code and configuration, and publish a version of it.

    Settings that are up to date are not changed, and Lambda publishes no new version if nothing has changed since the
    last one, so the task can be run any number of times. Settings and tags that ``config`` does not contain are not
    changed. Neither are settings that Lambda accepts only at creation (such as ``CodeSigningConfigArn``).

    :param function_name: The name of the function (templated).
    :param config: The configuration, in the format of boto3's ``create_function``: memory, ephemeral storage, timeout,
        environment, tags and so on, without name, code and ``Publish`` (templated).
    :param zip_file: The deployment package, or a callable that returns it when the task runs.
    :param publish: Publish a version. Otherwise, the version in the result is ``$LATEST``.
    :param description: The description of the version (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait for one update, a timedelta or seconds.
    :return: ``function``, ``version`` and ``code_sha256``.
    """

    template_fields: Sequence[str] = aws_template_fields("function_name", "config", "description")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}

    def __init__(
        self,
        *,
        config: RequestArgument,
        zip_file: bytes | Callable[[], bytes],
        publish: bool = True,
        description: str = "",
        poll_interval: float = 2,
        max_wait: timedelta | float = 900,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.description = description
        self.poll_interval = poll_interval
        self.max_wait = max_wait
        self.config: Any = config  # a configuration after rendering
        self.zip_file = zip_file
        self.publish_version = publish

    def execute(self, context: Context) -> PublishedVersion:
        """Update the code, then the configuration, and publish a version."""
        client = self.hook.conn
        self.persist_link(context)
        code = self.zip_file() if callable(self.zip_file) else self.zip_file
        sha256 = base64.b64encode(hashlib.sha256(code).digest()).decode()
        try:
            tags = client.get_function(FunctionName=self.function_name).get("Tags", {})
        except client.exceptions.ResourceNotFoundException:
            self._create(code)
            self.wait_until_successful()
        else:
            self._update(code, sha256, tags)
        version = self.publish(sha256) if self.publish_version else "$LATEST"
        return {"function": self.function_name, "version": version, "code_sha256": sha256}

    def _create(self, code: bytes) -> None:
        client = self.hook.conn
        deadline = time.monotonic() + NEW_ROLE_SECONDS
        while True:
            try:
                client.create_function(FunctionName=self.function_name, Code={"ZipFile": code}, **self.config)
            except client.exceptions.InvalidParameterValueException as error:
                if NEW_ROLE not in str(error) or time.monotonic() > deadline:
                    raise
                self.log.info("Lambda can't assume the role yet: %s", error)
                time.sleep(self.poll_interval)
            else:
                self.log.info("Created %s.", self.function_name)
                return

    def _update(self, code: bytes, sha256: str, tags: dict[str, str]) -> None:
        client = self.hook.conn
        found = self.wait_until_settled()
        # After a failed update, the state of the function is unknown. Update both code and configuration again.
        again = is_failed(found)
        architectures = {key: value for key, value in self.config.items() if key == "Architectures"}
        if again or found["CodeSha256"] != sha256 or not is_up_to_date(found, architectures):
            client.update_function_code(FunctionName=self.function_name, ZipFile=code, **architectures)
            self.log.info("Updated the code of %s.", self.function_name)
            found = self.wait_until_successful()
        updatable = client.meta.service_model.operation_model(
            "UpdateFunctionConfiguration"
        ).input_shape.members
        config = {key: value for key, value in self.config.items() if key in updatable}
        if again or not is_up_to_date(found, config):
            client.update_function_configuration(FunctionName=self.function_name, **config)
            self.log.info("Updated the configuration of %s.", self.function_name)
            self.wait_until_successful()
        asked_tags = self.config.get("Tags", {})
        if not asked_tags.items() <= tags.items():
            client.tag_resource(Resource=found["FunctionArn"].removesuffix(":$LATEST"), Tags=asked_tags)

    def wait_until_settled(self, qualifier: str | None = None) -> AwsAnswer:
        """
        Wait until no update is in progress, since Lambda rejects an update during another one.

        :return: The configuration.
        """
        request = {"FunctionName": self.function_name} | ({"Qualifier": qualifier} if qualifier else {})
        deadline = time.monotonic() + seconds(self.max_wait)
        while True:
            configuration: AwsAnswer = self.hook.conn.get_function_configuration(**request)
            if configuration.get("State") != "Pending" and (
                configuration.get("LastUpdateStatus") != "InProgress"
            ):
                return configuration
            if time.monotonic() > deadline:
                raise AirflowException(
                    f"{self.function_name} is still being updated after {seconds(self.max_wait):.0f} s."
                )
            time.sleep(self.poll_interval)

    def wait_until_successful(self, qualifier: str | None = None) -> AwsAnswer:
        """Wait until no update is in progress; raise an exception with Lambda's reason if the last one failed."""
        configuration = self.wait_until_settled(qualifier)
        if not is_failed(configuration):
            return configuration
        reason = (
            configuration.get("LastUpdateStatusReason")
            or configuration.get("StateReason")
            or "no reason given"
        )
        raise AirflowException(f"Lambda could not update {self.function_name}: {reason}")

    def publish(self, code_sha256: str) -> str:
        """Publish this code, and return the version when it can be invoked."""
        version: str = self.hook.conn.publish_version(
            FunctionName=self.function_name, CodeSha256=code_sha256, Description=self.description
        )["Version"]
        self.wait_until_successful(version)
        self.log.info("Version %s of %s is published.", version, self.function_name)
        return version


class LambdaReservedConcurrencyOperator(LambdaBaseOperator):
    """
    Set a function's reserved concurrency, which is also its maximum concurrency, or remove it.

    Lambda refuses to reserve less concurrency than is provisioned. The operator reduces the provisioned concurrency
    first if necessary.

    :param function_name: The name of the function (templated).
    :param reserved_concurrent_executions: The reserved concurrency; 0 blocks all invocations; None removes the limit.
    :param provisioned_concurrent_executions: The new provisioned concurrency of each alias or version, if more is
        provisioned than is to be reserved.
    :return: ``function`` and ``reserved_concurrent_executions``.
    """

    template_fields: Sequence[str] = aws_template_fields("function_name")

    def __init__(
        self,
        *,
        reserved_concurrent_executions: int | None,
        provisioned_concurrent_executions: dict[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reserved_concurrent_executions = reserved_concurrent_executions
        self.provisioned_concurrent_executions = provisioned_concurrent_executions or {}

    def execute(self, context: Context) -> ReservedConcurrency:
        """Set or remove the reservation."""
        self.persist_link(context)
        if self.reserved_concurrent_executions is None:
            self.hook.conn.delete_function_concurrency(FunctionName=self.function_name)
        else:
            self._make_room(self.reserved_concurrent_executions)
            self.hook.conn.put_function_concurrency(
                FunctionName=self.function_name,
                ReservedConcurrentExecutions=self.reserved_concurrent_executions,
            )
        return {
            "function": self.function_name,
            "reserved_concurrent_executions": self.reserved_concurrent_executions,
        }

    def _make_room(self, reserved: int) -> None:
        """Reduce the provisioned concurrency if it exceeds the reservation."""
        client = self.hook.conn
        pages = client.get_paginator("list_provisioned_concurrency_configs").paginate(
            FunctionName=self.function_name
        )
        provisioned = {
            item["FunctionArn"].rpartition(":")[2]: item["RequestedProvisionedConcurrentExecutions"]
            for page in pages
            for item in page["ProvisionedConcurrencyConfigs"]
        }
        if sum(provisioned.values()) <= reserved:
            return
        for qualifier, count in self.provisioned_concurrent_executions.items():
            target = {"FunctionName": self.function_name, "Qualifier": qualifier}
            if provisioned.get(qualifier, 0) <= count:
                continue
            if count:
                client.put_provisioned_concurrency_config(**target, ProvisionedConcurrentExecutions=count)
            else:
                client.delete_provisioned_concurrency_config(**target)
            self.log.info("Reduced the provisioned concurrency of %s to %s.", qualifier, count)


class LambdaFunctionUrlOperator(LambdaBaseOperator):
    """
    Create, update or delete the URL of a function or an alias.

    :param function_name: The name of the function (templated).
    :param qualifier: The alias; None for the function's latest code (templated).
    :param auth_type: ``AWS_IAM`` for signed requests of principals that may invoke the function, ``NONE`` for public
        access; None deletes the URL.
    :return: ``function``, ``qualifier`` and ``url``: None if there is none.
    """

    template_fields: Sequence[str] = aws_template_fields("function_name", "qualifier")

    def __init__(self, *, auth_type: str | None, qualifier: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.auth_type = auth_type
        self.qualifier = qualifier

    def execute(self, context: Context) -> FunctionUrl:
        """Create, update or delete the URL."""
        client = self.hook.conn
        self.persist_link(context)
        target = {"FunctionName": self.function_name} | (
            {"Qualifier": self.qualifier} if self.qualifier else {}
        )
        url = None
        try:
            if self.auth_type is None:
                client.delete_function_url_config(**target)
            else:
                url = client.update_function_url_config(**target, AuthType=self.auth_type)["FunctionUrl"]
        except client.exceptions.ResourceNotFoundException:
            if self.auth_type is not None:
                url = client.create_function_url_config(**target, AuthType=self.auth_type)["FunctionUrl"]
        self.log.info("The URL of %s is %s.", self.function_name, url)
        return {"function": self.function_name, "qualifier": self.qualifier, "url": url}


class LambdaDeleteFunctionOperator(LambdaBaseOperator):
    """
    Delete a function with all its versions and aliases, or one version; succeed if it does not exist.

    :param function_name: The name of the function (templated).
    :param qualifier: The version to delete, to which no alias may point (templated); None for the whole function.
    :return: ``function``, ``qualifier`` and ``deleted``: False if it did not exist.
    """

    template_fields: Sequence[str] = aws_template_fields("function_name", "qualifier")
    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, qualifier: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.qualifier = qualifier

    def execute(self, context: Context) -> DeletedFunction:
        """Delete it, if it exists."""
        client = self.hook.conn
        request = {"FunctionName": self.function_name} | (
            {"Qualifier": self.qualifier} if self.qualifier else {}
        )
        deleted = True
        try:
            client.delete_function(**request)
        except client.exceptions.ResourceNotFoundException:
            self.log.info("%s does not exist.", self.function_name)
            deleted = False
        return {"function": self.function_name, "qualifier": self.qualifier, "deleted": deleted}


def seconds(limit: timedelta | float) -> float:
    """Return a limit in seconds."""
    return limit.total_seconds() if isinstance(limit, timedelta) else limit


def is_failed(configuration: AwsAnswer) -> bool:
    """Return whether a function's creation or last update failed."""
    return "Failed" in (configuration.get("State"), configuration.get("LastUpdateStatus"))


def is_up_to_date(found: AwsAnswer, requested: AwsRequest) -> bool:
    """
    Return whether a function already has a configuration.

    :param found: The configuration that Lambda describes.
    :param requested: The configuration, in the format of boto3's ``create_function``. Other members are not compared.
    """
    # Lambda accepts these members in one format and describes them in another.
    found = found | {
        "Layers": [layer["Arn"] for layer in found.get("Layers") or []],
        "ImageConfig": (found.get("ImageConfigResponse") or {}).get("ImageConfig"),
    }
    variables = [(each.get("Environment") or {}).get("Variables") or {} for each in (found, requested)]
    if "Environment" in requested and variables[0] != variables[1]:  # all: one may be removed
        return False
    return all(_has(found.get(key), value) for key, value in requested.items() if key != "Environment")


def _has(found: Any, requested: Any) -> bool:
    if isinstance(requested, dict):
        return all(_has((found or {}).get(key), value) for key, value in requested.items())
    return found == requested or (not found and not requested)
