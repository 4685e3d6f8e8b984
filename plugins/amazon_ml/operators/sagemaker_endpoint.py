"""Create, deploy, invoke and delete SageMaker endpoints and what they are made of; any task can be retried."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.operators.sagemaker import SageMakerDeleteModelOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.differences import differences
from amazon_ml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.sagemaker_endpoint import SageMakerEndpointLink
from amazon_ml.operators.sagemaker_base import (
    ROLE_SPREADS,
    Config,
    SageMakerBaseStepwiseOperator,
    call_once_known,
    is_missing,
    reason,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class SageMakerCreateIfAbsentOperator(AwsBaseOperator[SageMakerHook]):
    """
    Create something that SageMaker never changes, unless it is there already.

    That also makes a retry safe after a creation whose answer was lost.

    :param config: The request, as boto3 takes it (templated).
    :return: the name.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#ded7cf"

    create_method: str
    describe_method: str
    name_key: str
    phrase: str

    def __init__(self, *, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a request, once it is rendered

    def execute(self, context: Context) -> str:
        """
        Create it, or see that what is there is what was asked for.

        :raises AirflowFailException: if there is something else of that name.
        """
        name: str = self.config[self.name_key]
        found = self._describe(name)
        if found is None:
            try:
                call_once_known(
                    self.log,
                    getattr(self.hook.conn, self.create_method),
                    self.config,
                    *ROLE_SPREADS,
                    "Could not find model",
                )
                self.log.info("Created %s %s.", self.phrase, name)
                return name
            except ClientError as error:
                if "already existing" not in str(error):
                    raise
            found = self._describe(name)
            if found is None:
                raise AirflowException(
                    f"The {self.phrase} {name} was deleted while this task found it there."
                )
        if different := differences(self.config, found, name_key=self.name_key):
            raise AirflowFailException(
                f"There is a {self.phrase} {name} already, but it is not the one asked for; SageMaker can't change "
                f"it, so choose another name, or delete it first. {'; '.join(different)}."
            )
        self.log.info("The %s %s exists already.", self.phrase, name)
        return name

    def _describe(self, name: str) -> dict[str, Any] | None:
        try:
            return getattr(self.hook.conn, self.describe_method)(**{self.name_key: name})
        except ClientError as error:
            if is_missing(error):
                return None
            raise


class SageMakerModelIfAbsentOperator(SageMakerCreateIfAbsentOperator):
    """
    Create a model, unless there is the same one of that name.

    :param config: The request, as boto3's ``create_model`` takes it (templated).
    :return: the name.
    """

    create_method, describe_method, name_key = "create_model", "describe_model", "ModelName"
    phrase = "model"


class SageMakerEndpointConfigIfAbsentOperator(SageMakerCreateIfAbsentOperator):
    """
    Create an endpoint configuration, unless there is the same one of that name.

    :param config: The request, as boto3's ``create_endpoint_config`` takes it (templated).
    :return: the name.
    """

    create_method, describe_method = "create_endpoint_config", "describe_endpoint_config"
    name_key = "EndpointConfigName"
    phrase = "endpoint configuration"


class SageMakerBaseEndpointOperator(SageMakerBaseStepwiseOperator):
    """
    Bring an endpoint where it should be, step by step.

    :param config: The request; ``EndpointName`` names the endpoint (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    """

    phrase = "endpoint"
    describe_method = "describe_endpoint"
    name_key, status_key = "EndpointName", "EndpointStatus"
    pending_states = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
    # Nothing is stopped when the task is killed: SageMaker has no way to stop a creation or an update, and to delete
    # the endpoint instead would take down what serves until the update is through. A retry finds it under way.
    stop_method = None


class SageMakerDeployEndpointOperator(SageMakerBaseEndpointOperator):
    """
    Create or update an endpoint, wait, and verify that what was asked for is in service.

    An endpoint that serves the configuration already is left alone; a change that is under way is waited for, and
    what it led to is compared with what is asked for; an endpoint that is Failed is replaced, as SageMaker can't
    update one. An update that SageMaker rolled back is a failure, though the endpoint is in service.

    Killing the task leaves the endpoint, and an update that is under way, alone.

    :param config: The request, as boto3's ``create_endpoint`` takes it: ``EndpointName``, ``EndpointConfigName`` and,
        for an endpoint that is created, ``Tags`` (templated).
    :param deployment_config: How to shift traffic and when to roll back, as boto3 takes it (templated).
    :param retain_all_variant_properties: Keep the weights and instance counts that variants have now, so that an
        update does not undo scaling. Where the configuration has more instances, its count is taken.
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    :return: ``name``, ``configuration``, ``arn``, ``status`` and ``updated`` (ISO) of the endpoint.
    """

    template_fields: Sequence[str] = aws_template_fields("config", "deployment_config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json", "deployment_config": "json"}
    operator_extra_links = (SageMakerEndpointLink(),)

    def __init__(
        self,
        *,
        deployment_config: dict[str, Any] | None = None,
        retain_all_variant_properties: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deployment_config = deployment_config
        self.retain_all_variant_properties = retain_all_variant_properties

    def execute(self, context: Context) -> Any:
        """Create or update the endpoint, unless that has been done."""
        persist_console_link(SageMakerEndpointLink, context, self, endpoint_name=self.config["EndpointName"])
        return self.advance(context)

    def advance(self, context: Context) -> Any:
        """Wait for what is under way, then create, replace or update the endpoint, or leave it alone."""
        name, wanted = self.config["EndpointName"], self.config["EndpointConfigName"]
        deadline = self.deadline(self._since(context))
        while True:
            description = self.describe(name)
            status = description["EndpointStatus"] if description else None
            if status in self.pending_states:
                self.log.info("%s is %s: waiting.", name, status)
                return self.wait_for_change(context, "execute_next")
            try:
                if description is None:
                    self._call_with_config("create_endpoint", {**self.config, **self._deployment()})
                    self.log.info("Creating %s with %s.", name, wanted)
                elif status == "Failed":
                    self.log.info("%s is Failed: replacing it.", name)
                    self.hook.conn.delete_endpoint(EndpointName=name)
                    return self.wait_for_change(context, "execute_replacement")
                elif status == "InService" and description["EndpointConfigName"] == wanted:
                    self.log.info("%s serves %s.", name, wanted)
                    return self._result(description)
                else:
                    update = {"EndpointName": name, "EndpointConfigName": wanted}
                    update |= self._retained(description) | self._deployment()
                    self._call_with_config("update_endpoint", update)
                    self.log.info(
                        "Updating %s from %s to %s.", name, description["EndpointConfigName"], wanted
                    )
                return self.wait_for_change(context, "execute_complete")
            except ClientError as error:
                if not (_is_changed_elsewhere(error) or (status == "Failed" and is_missing(error))):
                    raise
                self.log.info("%s is being changed already: %s", name, error)
            self.pause(context, deadline)

    def execute_replacement(self, context: Context, event: dict[str, Any]) -> Any:
        """Create the endpoint anew when the failed one is gone."""
        self.check_event(event)
        description = self.describe(self.config["EndpointName"])
        if description and description["EndpointStatus"] == "Failed":
            raise AirflowException(
                f"Endpoint {self.config['EndpointName']} is Failed and can't be deleted to replace it: "
                f"{reason(description)}"
            )
        return self.advance(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """
        Verify that this task's own change has led to what was asked for.

        :raises AirflowException: with SageMaker's reason, if it has not.
        """
        self.check_event(event)
        name, wanted = self.config["EndpointName"], self.config["EndpointConfigName"]
        description = self.describe(name)
        if description is None:
            raise AirflowException(f"Endpoint {name} was deleted while it was being deployed.")
        status, serving = description["EndpointStatus"], description["EndpointConfigName"]
        if status in self.pending_states:  # since then scaling, or a patch of SageMaker's own, has begun
            return self.wait_for_change(context, "execute_complete")
        if status != "InService":
            raise AirflowException(
                f"Endpoint {name} is {status} after it was to serve {wanted}: {reason(description)}"
            )
        if serving != wanted:
            raise AirflowException(
                f"Endpoint {name} is {status} with configuration {serving}, not {wanted}; the update was rolled "
                f"back: {reason(description)}"
            )
        return self._result(description)

    def _retained(self, description: dict[str, Any]) -> dict[str, Any]:
        """
        Say which properties of the variants that serve stay.

        The configuration's number of instances counts where it is larger: the steps of a traffic shift may need it.
        """
        if not self.retain_all_variant_properties:
            return {"RetainAllVariantProperties": False}
        now = {
            variant["VariantName"]: variant.get("DesiredInstanceCount", 0)
            for variant in description.get("ProductionVariants", [])
        }
        if not now:
            return {"RetainAllVariantProperties": True}
        config = self._call_with_config(
            "describe_endpoint_config", {"EndpointConfigName": self.config["EndpointConfigName"]}
        )
        then = {
            variant["VariantName"]: variant.get("InitialInstanceCount", 0)
            for variant in config["ProductionVariants"]
        }
        changes = [count - now[variant] for variant, count in then.items() if variant in now]
        if not changes or min(changes) < 0 or max(changes) == 0:
            return {"RetainAllVariantProperties": True}
        return {
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredInstanceCount"}],
        }

    def _call_with_config(self, operation: str, request: dict[str, Any]) -> Any:
        """Call an operation that needs the configuration: SageMaker may not know yet one that was made a moment ago."""
        return call_once_known(
            self.log, getattr(self.hook.conn, operation), request, "Could not find endpoint configuration"
        )

    def _deployment(self) -> dict[str, Any]:
        deployment_config = self.deployment_config or self.config.get("DeploymentConfig")
        return {"DeploymentConfig": deployment_config} if deployment_config else {}

    @staticmethod
    def _result(description: dict[str, Any]) -> dict[str, str]:
        return {
            "name": description["EndpointName"],
            "configuration": description["EndpointConfigName"],
            "arn": description["EndpointArn"],
            "status": description["EndpointStatus"],
            "updated": description["LastModifiedTime"].isoformat(),
        }


class SageMakerDeleteEndpointOperator(SageMakerBaseEndpointOperator):
    """
    Delete an endpoint, and wait until it is gone; one that is gone already is fine.

    An endpoint that is being changed can't be deleted, so the change is waited for first.

    :param config: The request, as boto3's ``delete_endpoint`` takes it: ``EndpointName`` (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    :return: ``name`` of the endpoint.
    """

    def advance(self, context: Context) -> Any:
        """Wait for what is under way, then delete the endpoint."""
        name = self.config["EndpointName"]
        deadline = self.deadline(self._since(context))
        while description := self.describe(name):
            if description["EndpointStatus"] in self.pending_states:
                self.log.info("%s is %s: waiting.", name, description["EndpointStatus"])
                return self.wait_for_change(context, "execute_next")
            try:
                self.hook.conn.delete_endpoint(EndpointName=name)
                self.log.info("Deleting %s.", name)
                return self.wait_for_change(context, "execute_complete")
            except ClientError as error:
                if is_missing(error):
                    break
                if not _is_changed_elsewhere(error):
                    raise
                self.log.info("%s is being changed: %s", name, error)
            self.pause(context, deadline)
        self.log.info("There is no endpoint %s.", name)
        return {"name": name}

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """
        See that the endpoint is gone.

        :raises AirflowException: with SageMaker's reason, if it is not.
        """
        self.check_event(event)
        name = self.config["EndpointName"]
        if description := self.describe(name):
            raise AirflowException(
                f"Endpoint {name} is {description['EndpointStatus']} after it was deleted: {reason(description)}"
            )
        self.log.info("%s is gone.", name)
        return {"name": name}


class SageMakerDeleteEndpointConfigOperator(AwsBaseOperator[SageMakerHook]):
    """
    Delete an endpoint configuration; one that is gone already is fine.

    :param config: The request, as boto3's ``delete_endpoint_config`` takes it: ``EndpointConfigName`` (templated).
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#ded7cf"

    def __init__(self, *, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a request, once it is rendered

    def execute(self, context: Context) -> None:
        """Delete it."""
        try:
            self.hook.conn.delete_endpoint_config(**self.config)
            self.log.info("Deleted endpoint configuration %s.", self.config["EndpointConfigName"])
        except ClientError as error:
            if not is_missing(error):
                raise
            self.log.info("There is no endpoint configuration %s.", self.config["EndpointConfigName"])


class SageMakerDeleteModelIfExistsOperator(SageMakerDeleteModelOperator):
    """
    Delete a model; one that is gone already is fine.

    :param config: The request, as boto3's ``delete_model`` takes it: ``ModelName`` (templated).
    """

    def execute(self, context: Context) -> None:
        """Delete it."""
        try:
            # not by the hook's own method, which logs an error before it raises one
            self.hook.conn.delete_model(ModelName=self.config["ModelName"])
            self.log.info("Deleted model %s.", self.config["ModelName"])
        except ClientError as error:
            if not is_missing(error):
                raise
            self.log.info("There is no model %s.", self.config["ModelName"])


class SageMakerInvokeEndpointOperator(AwsBaseOperator[SageMakerRuntimeHook]):
    """
    Ask an endpoint, and return its answer.

    :param endpoint_name: The name of the endpoint (templated).
    :param payload: The request's body: bytes and text go as they are, anything else as JSON (templated).
    :param content_type: The media type of the payload (templated).
    :param accept: The media type of the answer; None for the model's own choice (templated).
    :param target_variant: The production variant to ask; None to let the weights decide (templated).
    :param max_result_bytes: The longest answer that is returned, since it is kept in Airflow's database.
    :return: the answer: parsed if it is JSON, else as text.
    """

    aws_hook_class = SageMakerRuntimeHook
    template_fields: Sequence[str] = aws_template_fields(
        "endpoint_name", "payload", "content_type", "accept", "target_variant"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"payload": "json"}
    operator_extra_links = (SageMakerEndpointLink(),)
    ui_color = "#ded7cf"

    def __init__(
        self,
        *,
        endpoint_name: str,
        payload: Any,
        content_type: str = "application/json",
        accept: str | None = None,
        target_variant: str | None = None,
        max_result_bytes: int = 48 * 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint_name = endpoint_name
        self.payload = payload
        self.content_type = content_type
        self.accept = accept
        self.target_variant = target_variant
        self.max_result_bytes = max_result_bytes

    def execute(self, context: Context) -> Any:
        """
        Send the request.

        :raises AirflowException: with the model's own status and message, if it answers with an error.
        :raises AirflowFailException: if that is the request's fault, or the answer is too long or no text.
        """
        persist_console_link(SageMakerEndpointLink, context, self, endpoint_name=self.endpoint_name)
        body = self.payload if isinstance(self.payload, bytes | str) else json.dumps(self.payload)
        optional = {"Accept": self.accept, "TargetVariant": self.target_variant}
        try:
            answer = self.hook.conn.invoke_endpoint(
                EndpointName=self.endpoint_name,
                ContentType=self.content_type,
                Body=body,
                **{key: value for key, value in optional.items() if value is not None},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ModelError":
                raise
            raise self._model_error(error.response) from error
        content = answer["Body"].read()
        self.log.info(
            "%s answered %s bytes of %s.",
            answer.get("InvokedProductionVariant", self.endpoint_name),
            len(content),
            answer.get("ContentType"),
        )
        return self._result(content, answer.get("ContentType", ""))

    def _model_error(self, response: Any) -> AirflowException:
        status = response.get("OriginalStatusCode", 0)
        message = response.get("OriginalMessage") or response["Error"]["Message"]
        # Bad input stays bad; that the model is busy, or has broken down, may pass.
        kind = AirflowFailException if 400 <= status < 500 and status not in (408, 429) else AirflowException
        return kind(f"The model behind {self.endpoint_name} answered with status {status}: {message}")

    def _result(self, content: bytes, content_type: str) -> Any:
        if len(content) > self.max_result_bytes:
            raise AirflowFailException(
                f"The answer of {self.endpoint_name} has {len(content)} bytes; at most {self.max_result_bytes} can be "
                "returned (max_result_bytes). Ask for less, or keep it in S3 from a task of your own."
            )
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise AirflowFailException(
                f"The answer of {self.endpoint_name} is not text but {content_type or 'of no stated type'}; ask for "
                "another type (accept), or keep it in S3 from a task of your own."
            ) from error
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == "application/json" or media_type.endswith("+json"):
            try:
                return json.loads(text)
            except ValueError:
                self.log.warning(
                    "The answer calls itself %s, but is not: it is returned as text.", content_type
                )
        return text


def _is_changed_elsewhere(error: ClientError) -> bool:
    """Whether an endpoint can't be changed now because it was created, or is being changed, by somebody else."""
    return error.response["Error"]["Code"] in ("ValidationException", "ResourceInUse") and any(
        sign in str(error) for sign in ("already existing", "in-progress")
    )
