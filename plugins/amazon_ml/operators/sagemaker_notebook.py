"""Create, update, start, stop and delete SageMaker notebook instances and their lifecycle configurations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.differences import NOT_DESCRIBED, differences
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.sagemaker_notebook import SageMakerNotebookLink
from amazon_ml.operators.sagemaker_base import (
    ROLE_NOT_PROPAGATED,
    SageMakerBaseRequestOperator,
    SageMakerReconcileOperator,
    call_until_propagated,
    is_missing,
    reason,
)
from amazon_ml.triggers.sagemaker import StatusEvent
from include.aws.documents import AwsAnswer, AwsRequest

if TYPE_CHECKING:
    from airflow.sdk import Context


START_ATTEMPTS = 4
START_SECONDS = 30.0
"""How long a start may take to begin before it is repeated. The Terraform provider for AWS does the same."""


class SageMakerBaseNotebookOperator(SageMakerReconcileOperator):
    """
    Bring a notebook instance to its desired state, step by step.

    :param config: The request; ``NotebookInstanceName`` names the instance (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    """

    phrase = "notebook instance"
    describe_method = "describe_notebook_instance"
    name_key, status_key = "NotebookInstanceName", "NotebookInstanceStatus"
    pending_states = ("Pending", "Stopping", "Updating", "Deleting", "PendingMaintenance", "InMaintenance")
    # Killing the task does not affect the instance or a change in progress. A retry waits for that change.
    stop_method = None

    def reconcile(self, context: Context) -> Any:
        """Wait for a change in progress, then do the next step."""
        deadline = self.deadline(self._since(context))
        while True:
            found = self.describe(self.config[self.name_key])
            if found and found[self.status_key] in self.pending_states:
                self.log.info("%s is %s. Waiting.", found[self.name_key], found[self.status_key])
                return self.wait_for_change(context, "execute_next")
            try:
                return self.take_step(context, found)
            except ClientError as error:
                if not _is_changed_elsewhere(error):
                    raise
                self.log.info("%s is already being changed: %s", self.config[self.name_key], error)
            self.pause(context, deadline)

    def take_step(self, context: Context, found: AwsAnswer | None) -> Any:
        """Return the result if the instance is in the desired state; otherwise, do the next step and wait."""
        raise NotImplementedError

    def ask(self, operation: str, **members: Any) -> None:
        """Call an operation on the instance."""
        self.log.info("%s: %s.", self.config[self.name_key], operation.replace("_", " "))
        call_until_propagated(
            self.log,
            getattr(self.hook.conn, operation),
            {self.name_key: self.config[self.name_key], **members},
            *ROLE_NOT_PROPAGATED,
        )

    def result(self, found: AwsAnswer | None) -> dict[str, str | None]:
        """Return the name of the instance and its status; None if it does not exist."""
        return {"name": self.config[self.name_key], "status": found[self.status_key] if found else None}


class SageMakerStartNotebookIfStoppedOperator(SageMakerBaseNotebookOperator):
    """
    Start a notebook instance, and wait until it is in service; succeed if it is already in service.

    :param config: The parameters of boto3's ``start_notebook_instance``: ``NotebookInstanceName`` (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name`` and ``status`` of the instance.
    """

    operator_extra_links = (SageMakerNotebookLink(),)

    def take_step(self, context: Context, found: AwsAnswer | None) -> Any:
        """Start the instance, unless it is in service."""
        if found is None:
            raise AirflowFailException(
                f"Notebook instance {self.config[self.name_key]} does not exist. Create it first."
            )
        self.persist_link(context)
        if found[self.status_key] == "InService":
            return self.result(found)
        self.start()
        return self.wait_for_change(context, "execute_complete")

    def start(self) -> None:
        """
        Start the instance, and verify that it is starting: SageMaker sometimes accepts a start without effect.

        :raises AirflowException: If it is still stopped after several starts.
        """
        name = self.config[self.name_key]
        for _ in range(START_ATTEMPTS):
            self.ask("start_notebook_instance")
            deadline = time.monotonic() + START_SECONDS
            while (found := self.describe(name)) and found[self.status_key] == "Stopped":
                if time.monotonic() >= deadline:
                    self.log.info("%s is still stopped.", name)
                    break
                time.sleep(min(self.poll_interval, START_SECONDS / 10))
            else:
                return
        raise AirflowException(
            f"Notebook instance {name} is still Stopped after {START_ATTEMPTS} starts that SageMaker accepted. Run the "
            "task again later, or start it in the AWS console."
        )

    def execute_complete(self, context: Context, event: StatusEvent) -> Any:
        """
        Verify that the instance is in service.

        :raises AirflowException: With SageMaker's reason, if it is not.
        """
        self.check_event(event)
        name = self.config[self.name_key]
        found = self.describe(name)
        if found is None:
            raise AirflowException(f"Notebook instance {name} was deleted while it was being started.")
        self.persist_link(context)
        if found[self.status_key] in self.pending_states:
            return self.wait_for_change(context, "execute_complete")
        if found[self.status_key] != "InService":
            raise AirflowException(
                f"Notebook instance {name} is {found[self.status_key]} after its start: {reason(found)}"
            )
        return self.result(found)

    def persist_link(self, context: Context) -> None:
        """Store the link to the instance."""
        persist_console_link(SageMakerNotebookLink, context, self, instance_name=self.config[self.name_key])


class SageMakerDeployNotebookOperator(SageMakerStartNotebookIfStoppedOperator):
    """
    Create or update a notebook instance, and wait until it is in service.

    An instance that is up to date is started if necessary. An instance that differs from the request is stopped for the
    update, which keeps its volume. A failed instance is started again, after an update if necessary. If SageMaker can't
    make a change, the task fails without a retry. Only a new instance receives the tags.

    :param config: The parameters of boto3's ``create_notebook_instance`` (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name`` and ``status`` of the instance.
    """

    updatable = frozenset(
        {
            "AdditionalCodeRepositories",
            "DefaultCodeRepository",
            "InstanceMetadataServiceConfiguration",
            "InstanceType",
            "IpAddressType",
            "LifecycleConfigName",
            "PlatformIdentifier",
            "RoleArn",
            "RootAccess",
            "VolumeSizeInGB",
        }
    )
    described_as: ClassVar[dict[str, str]] = {
        "LifecycleConfigName": "NotebookInstanceLifecycleConfigName",
        "SecurityGroupIds": "SecurityGroups",
    }

    def take_step(self, context: Context, found: AwsAnswer | None) -> Any:
        """Create the instance, stop it for an update, update it, or start it, unless it is in the desired state."""
        if found is None:
            self.ask("create_notebook_instance", **self.config)
            return self.wait_for_change(context, "execute_complete")
        changes = self.changes(found)
        if not changes:
            return super().take_step(context, found)
        if found[self.status_key] == "InService":
            self.ask("stop_notebook_instance")
            return self.wait_for_change(context, "execute_next")
        self.ask("update_notebook_instance", **changes)
        return self.wait_for_change(context, "execute_updated")

    def execute_updated(self, context: Context, event: StatusEvent) -> Any:
        """
        Continue after an update.

        :raises AirflowException: If the instance still differs from the request.
        """
        self.check_event(event)
        found = self.describe(self.config[self.name_key])
        if found and found[self.status_key] not in self.pending_states and (changes := self.changes(found)):
            raise AirflowException(
                f"Notebook instance {found[self.name_key]} was updated, but still differs in "
                f"{', '.join(sorted(changes))}: {reason(found)}"
            )
        return self.reconcile(context)

    def changes(self, found: AwsAnswer) -> AwsRequest:
        """
        Return the members of the request in which the instance differs from it.

        :raises AirflowFailException: If SageMaker can't change one of them.
        """
        changes, lines, fixed = {}, [], []
        for member, wanted in self.config.items():
            if member == self.name_key or member in NOT_DESCRIBED:
                continue
            current = found.get(self.described_as.get(member, member))
            if different := differences({member: wanted}, {member: current}, name_key=self.name_key):
                lines += different
                changes[member] = wanted
                if member not in self.updatable or (member == "VolumeSizeInGB" and wanted < current):
                    fixed += different
        if fixed:
            raise AirflowFailException(
                f"Notebook instance {found[self.name_key]} can't be changed as requested: {'; '.join(fixed)}. Request "
                "the existing values, or delete the instance with all its files and create it again."
            )
        if lines:
            self.log.info("%s differs: %s.", found[self.name_key], "; ".join(lines))
        return changes


class SageMakerStopNotebookIfRunningOperator(SageMakerBaseNotebookOperator):
    """
    Stop a notebook instance, and wait until it is stopped; succeed if it is stopped, failed or does not exist.

    :param config: The parameters of boto3's ``stop_notebook_instance``: ``NotebookInstanceName`` (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name`` and ``status`` of the instance; the status is None if it does not exist.
    """

    def take_step(self, context: Context, found: AwsAnswer | None) -> Any:
        """Stop the instance, if it is in service."""
        if found is None or found[self.status_key] != "InService":
            return self.result(found)
        self.ask("stop_notebook_instance")
        return self.wait_for_change(context, "execute_next")


class SageMakerDeleteNotebookIfExistsOperator(SageMakerBaseNotebookOperator):
    """
    Stop and delete a notebook instance with its volume, and wait until it is deleted; succeed if it does not exist.

    :param config: The parameters of boto3's ``delete_notebook_instance``: ``NotebookInstanceName`` (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``name`` of the instance, and None as its ``status``.
    """

    def take_step(self, context: Context, found: AwsAnswer | None) -> Any:
        """Stop the instance if it is in service; otherwise, delete it."""
        if found is None:
            return self.result(found)
        if found[self.status_key] == "InService":
            self.ask("stop_notebook_instance")
            return self.wait_for_change(context, "execute_next")
        self.ask("delete_notebook_instance")
        return self.wait_for_change(context, "execute_complete")

    def execute_complete(self, context: Context, event: StatusEvent) -> Any:
        """
        Verify that the instance no longer exists.

        :raises AirflowException: With SageMaker's reason, if it still exists.
        """
        self.check_event(event)
        if found := self.describe(self.config[self.name_key]):
            raise AirflowException(
                f"Notebook instance {found[self.name_key]} is {found[self.status_key]} after its deletion: "
                f"{reason(found)}"
            )
        return self.result(None)


class SageMakerDeployLifecycleConfigOperator(SageMakerBaseRequestOperator):
    """
    Create a lifecycle configuration of notebook instances, or update its scripts.

    Instances that use it run the new scripts at their next start.

    :param config: The parameters of boto3's ``create_notebook_instance_lifecycle_config`` (templated).
    :return: The name.
    """

    name_key = "NotebookInstanceLifecycleConfigName"
    hooks = ("OnCreate", "OnStart")

    def execute(self, context: Context) -> str:
        """Create the configuration, or update it if its scripts differ."""
        name: str = self.config[self.name_key]
        conn = self.hook.conn
        try:
            found = conn.describe_notebook_instance_lifecycle_config(**{self.name_key: name})
        except ClientError as error:
            if not is_missing(error):
                raise
            try:
                conn.create_notebook_instance_lifecycle_config(**self.config)
                self.log.info("Created lifecycle configuration %s.", name)
                return name
            except ClientError as taken:
                if "already exists" not in str(taken):
                    raise
            found = conn.describe_notebook_instance_lifecycle_config(**{self.name_key: name})
        if all(self.config.get(hook, []) == found.get(hook, []) for hook in self.hooks):
            self.log.info("Lifecycle configuration %s is up to date.", name)
            return name
        conn.update_notebook_instance_lifecycle_config(
            **{self.name_key: name}, **{hook: self.config.get(hook, []) for hook in self.hooks}
        )
        self.log.info("Updated lifecycle configuration %s. Its scripts run at the next start.", name)
        return name


class SageMakerDeleteLifecycleConfigIfExistsOperator(SageMakerBaseRequestOperator):
    """
    Delete a lifecycle configuration of notebook instances; succeed if it does not exist.

    :param config: The parameters of boto3's ``delete_notebook_instance_lifecycle_config`` (templated).
    """

    def execute(self, context: Context) -> None:
        """Delete it, if it exists."""
        try:
            # A policy that allows deletion only with a tag denies the deletion of a configuration that does not exist.
            self.hook.conn.describe_notebook_instance_lifecycle_config(**self.config)
            self.hook.conn.delete_notebook_instance_lifecycle_config(**self.config)
            self.log.info("Deleted lifecycle configuration %s.", *self.config.values())
        except ClientError as error:
            if not is_missing(error):
                raise
            self.log.info("Lifecycle configuration %s does not exist.", *self.config.values())


def _is_changed_elsewhere(error: ClientError) -> bool:
    """Return whether an instance can't be changed now because another user created it or is changing it."""
    return error.response["Error"]["Code"] == "ValidationException" and any(
        sign in str(error) for sign in ("Cannot create a duplicate", "Unable to transition", "RecordNotFound")
    )
