"""Create, deploy and delete SageMaker endpoints, their configurations and models; every task can be retried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.sagemaker import SageMakerDeleteModelOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.differences import differences
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.sagemaker_endpoint import SageMakerEndpointLink
from amazon_ml.operators.sagemaker_base import (
    ROLE_NOT_PROPAGATED,
    SageMakerBaseRequestOperator,
    SageMakerReconcileOperator,
    call_until_propagated,
    describe_if_exists,
    is_missing,
    reason,
)
from amazon_ml.triggers.sagemaker import StatusEvent
from include.aws.documents import AwsAnswer, AwsRequest

if TYPE_CHECKING:
    from airflow.sdk import Context


class SageMakerCreateIfAbsentOperator(SageMakerBaseRequestOperator):
    """
    Create an immutable SageMaker resource, unless it exists.

    A retry is safe even if the response of a creation was lost.

    :param config: The request, in the format of boto3 (templated).
    :return: The name.
    """

    create_method: str
    describe_method: str
    name_key: str
    phrase: str

    def execute(self, context: Context) -> str:
        """
        Create the resource, or verify that the existing one is the requested one.

        :raises AirflowFailException: If a different resource of that name exists.
        """
        name: str = self.config[self.name_key]
        found = self._describe(name)
        if found is None:
            try:
                call_until_propagated(
                    self.log,
                    getattr(self.hook.conn, self.create_method),
                    self.config,
                    *ROLE_NOT_PROPAGATED,
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
                    f"The {self.phrase} {name} was deleted while this task was checking it."
                )
        if different := differences(self.config, found, name_key=self.name_key):
            raise AirflowFailException(
                f"The {self.phrase} {name} already exists, but differs from the requested one: {'; '.join(different)}. "
                "SageMaker can't change it. Choose another name, or delete it first."
            )
        self.log.info("The %s %s already exists.", self.phrase, name)
        return name

    def _describe(self, name: str) -> AwsAnswer | None:
        return describe_if_exists(getattr(self.hook.conn, self.describe_method), {self.name_key: name})


class SageMakerModelIfAbsentOperator(SageMakerCreateIfAbsentOperator):
    """
    Create a model, unless the same model already exists.

    :param config: The parameters of boto3's ``create_model`` (templated).
    :return: The name.
    """

    create_method, describe_method, name_key = "create_model", "describe_model", "ModelName"
    phrase = "model"


class SageMakerEndpointConfigIfAbsentOperator(SageMakerCreateIfAbsentOperator):
    """
    Create an endpoint configuration, unless the same one already exists.

    :param config: The parameters of boto3's ``create_endpoint_config`` (templated).
    :return: The name.
    """

    create_method, describe_method = "create_endpoint_config", "describe_endpoint_config"
    name_key = "EndpointConfigName"
    phrase = "endpoint configuration"


class SageMakerBaseEndpointOperator(SageMakerReconcileOperator):
    """
    Bring an endpoint to its desired state, step by step.

    :param config: The request; ``EndpointName`` names the endpoint (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    """

    phrase = "endpoint"
    describe_method = "describe_endpoint"
    name_key, status_key = "EndpointName", "EndpointStatus"
    pending_states = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
    # Nothing is stopped when the task is killed. SageMaker can't stop a creation or an update, and deleting the
    # endpoint would take down the model that is live until the update has finished. A retry finds the change in
    # progress.
    stop_method = None


class SageMakerDeployEndpointOperator(SageMakerBaseEndpointOperator):
    """
    Create or update an endpoint, wait, and verify that the requested configuration is in service.

    An endpoint that already uses the configuration is not changed. If a change is in progress, the operator waits for
    it and compares the result with the request. A Failed endpoint is replaced, since SageMaker can't update it. An
    update that SageMaker rolled back is a failure, although the endpoint is in service.

    Killing the task does not affect the endpoint or an update in progress.

    :param config: The parameters of boto3's ``create_endpoint``: ``EndpointName``, ``EndpointConfigName`` and, for a
        new endpoint, ``Tags`` (templated).
    :param deployment_config: How to shift traffic and when to roll back, in the format of boto3 (templated).
    :param retain_all_variant_properties: Keep the current weights and instance counts of the variants, so that an
        update does not undo scaling. If the configuration has a higher instance count, that count is used.
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name``, ``configuration``, ``arn``, ``status`` and ``updated`` (ISO) of the endpoint.
    """

    template_fields: Sequence[str] = aws_template_fields("config", "deployment_config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json", "deployment_config": "json"}
    operator_extra_links = (SageMakerEndpointLink(),)

    def __init__(
        self,
        *,
        deployment_config: AwsRequest | None = None,
        retain_all_variant_properties: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deployment_config = deployment_config
        self.retain_all_variant_properties = retain_all_variant_properties

    def execute(self, context: Context) -> Any:
        """Create or update the endpoint, unless it is up to date."""
        persist_console_link(SageMakerEndpointLink, context, self, endpoint_name=self.config["EndpointName"])
        return self.reconcile(context)

    def reconcile(self, context: Context) -> Any:
        """Wait for a change in progress, then create, replace or update the endpoint if necessary."""
        name, wanted = self.config["EndpointName"], self.config["EndpointConfigName"]
        deadline = self.deadline(self._since(context))
        while True:
            description = self.describe(name)
            status = description["EndpointStatus"] if description else None
            if status in self.pending_states:
                self.log.info("%s is %s. Waiting.", name, status)
                return self.wait_for_change(context, "execute_next")
            try:
                if description is None:
                    self._call_with_config("create_endpoint", {**self.config, **self._deployment()})
                    self.log.info("Creating %s with %s.", name, wanted)
                elif status == "Failed":
                    self.log.info("%s is Failed. Replacing it.", name)
                    self.hook.conn.delete_endpoint(EndpointName=name)
                    return self.wait_for_change(context, "execute_replacement")
                elif status == "InService" and description["EndpointConfigName"] == wanted:
                    self.log.info("%s already uses %s.", name, wanted)
                    return self._result(description)
                else:
                    update = {"EndpointName": name, "EndpointConfigName": wanted}
                    update |= self._retained(description) | self._deployment()
                    self._update(update, description["EndpointConfigName"])
                    self.log.info(
                        "Updating %s from %s to %s.", name, description["EndpointConfigName"], wanted
                    )
                return self.wait_for_change(context, "execute_complete")
            except ClientError as error:
                if not (_is_changed_elsewhere(error) or (status == "Failed" and is_missing(error))):
                    raise
                self.log.info("%s is already being changed: %s", name, error)
            self.pause(context, deadline)

    def execute_replacement(self, context: Context, event: StatusEvent) -> Any:
        """Create the endpoint when the failed one has been deleted."""
        self.check_event(event)
        description = self.describe(self.config["EndpointName"])
        if description and description["EndpointStatus"] == "Failed":
            raise AirflowException(
                f"Endpoint {self.config['EndpointName']} is Failed and can't be deleted to replace it: "
                f"{reason(description)}"
            )
        return self.reconcile(context)

    def execute_complete(self, context: Context, event: StatusEvent) -> Any:
        """
        Verify that the change of this task has led to the requested state.

        :raises AirflowException: With SageMaker's reason, if it has not.
        """
        self.check_event(event)
        name, wanted = self.config["EndpointName"], self.config["EndpointConfigName"]
        description = self.describe(name)
        if description is None:
            raise AirflowException(f"Endpoint {name} was deleted while it was being deployed.")
        status, serving = description["EndpointStatus"], description["EndpointConfigName"]
        if status in self.pending_states:  # scaling, or a patch by SageMaker, has started since
            return self.wait_for_change(context, "execute_complete")
        if status != "InService":
            raise AirflowException(
                f"Endpoint {name} is {status} after the deployment of {wanted}: {reason(description)}"
            )
        if serving != wanted:
            raise AirflowException(
                f"Endpoint {name} is {status} with configuration {serving} instead of {wanted}. The update was rolled "
                f"back: {reason(description)}"
            )
        return self._result(description)

    def _retained(self, description: AwsAnswer) -> AwsRequest:
        """
        Return which properties of the live variants are retained.

        A higher instance count in the configuration takes precedence, since the steps of a traffic shift may need it.
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

    def _update(self, update: AwsRequest, serving: str) -> None:
        try:
            self._call_with_config("update_endpoint", update)
        except ClientError as error:
            if is_missing(error) and f":endpoint-config/{serving}".lower() in str(error).lower():
                raise AirflowFailException(
                    f"Endpoint {update['EndpointName']} can't be updated: SageMaker needs its configuration {serving}, "
                    "which was deleted. Create a configuration of that name, or delete the endpoint and run again."
                ) from error
            raise

    def _call_with_config(self, operation: str, request: AwsRequest) -> Any:
        """Call an operation that needs the configuration, which may not have propagated yet."""
        name = self.config["EndpointConfigName"]
        return call_until_propagated(
            self.log, getattr(self.hook.conn, operation), request, f':endpoint-config/{name}"'
        )

    def _deployment(self) -> AwsRequest:
        deployment_config = self.deployment_config or self.config.get("DeploymentConfig")
        return {"DeploymentConfig": deployment_config} if deployment_config else {}

    @staticmethod
    def _result(description: AwsAnswer) -> dict[str, str]:
        return {
            "name": description["EndpointName"],
            "configuration": description["EndpointConfigName"],
            "arn": description["EndpointArn"],
            "status": description["EndpointStatus"],
            "updated": description["LastModifiedTime"].isoformat(),
        }


class SageMakerDeleteEndpointOperator(SageMakerBaseEndpointOperator):
    """
    Delete an endpoint, and wait until it no longer exists; succeed if it does not exist.

    An endpoint that is being changed can't be deleted, so the operator waits for the change first.

    :param config: The parameters of boto3's ``delete_endpoint``: ``EndpointName`` (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name`` of the endpoint.
    """

    def reconcile(self, context: Context) -> Any:
        """Wait for a change in progress, then delete the endpoint."""
        name = self.config["EndpointName"]
        deadline = self.deadline(self._since(context))
        while description := self.describe(name):
            if description["EndpointStatus"] in self.pending_states:
                self.log.info("%s is %s. Waiting.", name, description["EndpointStatus"])
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
        self.log.info("Endpoint %s does not exist.", name)
        return {"name": name}

    def execute_complete(self, context: Context, event: StatusEvent) -> Any:
        """
        Verify that the endpoint no longer exists.

        :raises AirflowException: With SageMaker's reason, if it still exists.
        """
        self.check_event(event)
        name = self.config["EndpointName"]
        if description := self.describe(name):
            raise AirflowException(
                f"Endpoint {name} is {description['EndpointStatus']} after its deletion: {reason(description)}"
            )
        self.log.info("%s is deleted.", name)
        return {"name": name}


class SageMakerDeleteEndpointConfigOperator(SageMakerBaseRequestOperator):
    """
    Delete an endpoint configuration; succeed if it does not exist.

    :param config: The parameters of boto3's ``delete_endpoint_config``: ``EndpointConfigName`` (templated).
    """

    def execute(self, context: Context) -> None:
        """Delete it, if it exists."""
        try:
            self.hook.conn.delete_endpoint_config(**self.config)
            self.log.info("Deleted endpoint configuration %s.", self.config["EndpointConfigName"])
        except ClientError as error:
            if not is_missing(error):
                raise
            self.log.info("Endpoint configuration %s does not exist.", self.config["EndpointConfigName"])


class SageMakerDeleteModelIfExistsOperator(SageMakerDeleteModelOperator):
    """
    Delete a model; succeed if it does not exist.

    :param config: The parameters of boto3's ``delete_model``: ``ModelName`` (templated).
    """

    def execute(self, context: Context) -> None:
        """Delete it, if it exists."""
        try:
            # the hook's own method logs an error before it raises one
            self.hook.conn.delete_model(ModelName=self.config["ModelName"])
            self.log.info("Deleted model %s.", self.config["ModelName"])
        except ClientError as error:
            if not is_missing(error):
                raise
            self.log.info("Model %s does not exist.", self.config["ModelName"])


def _is_changed_elsewhere(error: ClientError) -> bool:
    """Return whether an endpoint can't be changed now because another user created it or is changing it."""
    return error.response["Error"]["Code"] in ("ValidationException", "ResourceInUse") and any(
        sign in str(error) for sign in ("already existing", "in-progress")
    )
