"""Create, update, start, stop and delete SageMaker notebook instances and their lifecycle configurations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from botocore.exceptions import ClientError

from amazon_ml.differences import NOT_DESCRIBED, differences
from amazon_ml.links.console import persist_console_link
from amazon_ml.links.sagemaker_notebook import SageMakerNotebookLink
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


START_ATTEMPTS = 4
START_SECONDS = 30.0
"""How long a start may take to begin before it is repeated; Terraform's provider for AWS does the same."""


class SageMakerBaseNotebookOperator(SageMakerBaseStepwiseOperator):
    """
    Bring a notebook instance where it should be, step by step.

    :param config: The request; ``NotebookInstanceName`` names the instance (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    """

    phrase = "notebook instance"
    describe_method = "describe_notebook_instance"
    name_key, status_key = "NotebookInstanceName", "NotebookInstanceStatus"
    pending_states = ("Pending", "Stopping", "Updating", "Deleting", "PendingMaintenance", "InMaintenance")
    # Killing the task leaves the instance, and what is being done to it, alone; a retry finds it under way.
    stop_method = None

    def advance(self, context: Context) -> Any:
        """Wait for what is under way, then take the step that follows."""
        deadline = self.deadline(self._since(context))
        while True:
            found = self.describe(self.config[self.name_key])
            if found and found[self.status_key] in self.pending_states:
                self.log.info("%s is %s: waiting.", found[self.name_key], found[self.status_key])
                return self.wait_for_change(context, "execute_next")
            try:
                return self.take_step(context, found)
            except ClientError as error:
                if not _is_changed_elsewhere(error):
                    raise
                self.log.info("%s is being changed already: %s", self.config[self.name_key], error)
            self.pause(context, deadline)

    def take_step(self, context: Context, found: dict[str, Any] | None) -> Any:
        """Return the result where it is as it should be, else do what brings it nearer to that and wait."""
        raise NotImplementedError

    def ask(self, operation: str, **members: Any) -> None:
        """Call an operation on the instance."""
        self.log.info("%s: %s.", self.config[self.name_key], operation.replace("_", " "))
        call_once_known(
            self.log,
            getattr(self.hook.conn, operation),
            {self.name_key: self.config[self.name_key], **members},
            *ROLE_SPREADS,
        )

    def result(self, found: dict[str, Any] | None) -> dict[str, str | None]:
        """Name the instance and its status; None for one that is not there."""
        return {"name": self.config[self.name_key], "status": found[self.status_key] if found else None}


class SageMakerStartNotebookIfStoppedOperator(SageMakerBaseNotebookOperator):
    """
    Start a notebook instance, and wait until it is in service; one that is in service already is fine.

    :param config: The request, as boto3's ``start_notebook_instance`` takes it: ``NotebookInstanceName`` (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    :return: ``name`` and ``status`` of the instance.
    """

    operator_extra_links = (SageMakerNotebookLink(),)

    def take_step(self, context: Context, found: dict[str, Any] | None) -> Any:
        """Start it, unless it is in service."""
        if found is None:
            raise AirflowFailException(
                f"There is no notebook instance {self.config[self.name_key]} to start; create it first."
            )
        self.persist_link(context)
        if found[self.status_key] == "InService":
            return self.result(found)
        self.start()
        return self.wait_for_change(context, "execute_complete")

    def start(self) -> None:
        """
        Start it, and see that it begins: SageMaker sometimes accepts a start and leaves the instance stopped.

        :raises AirflowException: if it is still stopped after several starts.
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

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """
        Verify that it is in service.

        :raises AirflowException: with SageMaker's reason, if it is not.
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
                f"Notebook instance {name} is {found[self.status_key]} after it was started: {reason(found)}"
            )
        return self.result(found)

    def persist_link(self, context: Context) -> None:
        """Store where the instance can be opened."""
        persist_console_link(SageMakerNotebookLink, context, self, instance_name=self.config[self.name_key])


class SageMakerDeployNotebookOperator(SageMakerStartNotebookIfStoppedOperator):
    """
    Create a notebook instance, or bring the one of that name up to date, and wait until it is in service.

    One that is as asked for is started if need be; one that differs is stopped for the update, which keeps its volume.
    A failed one is started again, after an update if need be. What SageMaker can't change is a failure without a
    retry. Tags are given only to an instance that is created.

    :param config: The request, as boto3's ``create_notebook_instance`` takes it (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
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

    def take_step(self, context: Context, found: dict[str, Any] | None) -> Any:
        """Create it, stop it for an update, update it, or start it, unless it is as asked for."""
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

    def execute_updated(self, context: Context, event: dict[str, Any]) -> Any:
        """
        Go on once it was updated.

        :raises AirflowException: if it still is not as asked for.
        """
        self.check_event(event)
        found = self.describe(self.config[self.name_key])
        if found and found[self.status_key] not in self.pending_states and (changes := self.changes(found)):
            raise AirflowException(
                f"Notebook instance {found[self.name_key]} was updated, and still differs in "
                f"{', '.join(sorted(changes))}: {reason(found)}"
            )
        return self.advance(context)

    def changes(self, found: dict[str, Any]) -> dict[str, Any]:
        """
        Return those members of the request in which the instance differs from it.

        :raises AirflowFailException: if SageMaker can't change one of them.
        """
        changes, lines, fixed = {}, [], []
        for member, wanted in self.config.items():
            if member == self.name_key or member in NOT_DESCRIBED:
                continue
            there = found.get(self.described_as.get(member, member))
            if different := differences({member: wanted}, {member: there}, name_key=self.name_key):
                lines += different
                changes[member] = wanted
                if member not in self.updatable or (member == "VolumeSizeInGB" and wanted < there):
                    fixed += different
        if fixed:
            raise AirflowFailException(
                f"Notebook instance {found[self.name_key]} can't become what is asked for: {'; '.join(fixed)}. Ask for "
                "what there is, or delete it, with all files on it, and create it again."
            )
        if lines:
            self.log.info("%s differs: %s.", found[self.name_key], "; ".join(lines))
        return changes


class SageMakerStopNotebookIfRunningOperator(SageMakerBaseNotebookOperator):
    """
    Stop a notebook instance, and wait until it is stopped; one that is stopped, failed or gone is fine.

    :param config: The request, as boto3's ``stop_notebook_instance`` takes it: ``NotebookInstanceName`` (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    :return: ``name`` and ``status`` of the instance; the status is None where there is none.
    """

    def take_step(self, context: Context, found: dict[str, Any] | None) -> Any:
        """Stop it, if it is in service."""
        if found is None or found[self.status_key] != "InService":
            return self.result(found)
        self.ask("stop_notebook_instance")
        return self.wait_for_change(context, "execute_next")


class SageMakerDeleteNotebookIfExistsOperator(SageMakerBaseNotebookOperator):
    """
    Delete a notebook instance with its volume, and wait until it is gone; it is stopped first, and gone is fine.

    :param config: The request, as boto3's ``delete_notebook_instance`` takes it: ``NotebookInstanceName`` (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    :return: ``name`` of the instance, and None as its ``status``.
    """

    def take_step(self, context: Context, found: dict[str, Any] | None) -> Any:
        """Stop it if it is in service, else delete it."""
        if found is None:
            return self.result(found)
        if found[self.status_key] == "InService":
            self.ask("stop_notebook_instance")
            return self.wait_for_change(context, "execute_next")
        self.ask("delete_notebook_instance")
        return self.wait_for_change(context, "execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """
        See that it is gone.

        :raises AirflowException: with SageMaker's reason, if it is not.
        """
        self.check_event(event)
        if found := self.describe(self.config[self.name_key]):
            raise AirflowException(
                f"Notebook instance {found[self.name_key]} is {found[self.status_key]} after it was deleted: "
                f"{reason(found)}"
            )
        return self.result(None)


class SageMakerDeployLifecycleConfigOperator(AwsBaseOperator[SageMakerHook]):
    """
    Create a notebook instance's lifecycle configuration, or give the one of that name other scripts.

    Instances that use it run the new scripts at their next start.

    :param config: The request, as boto3's ``create_notebook_instance_lifecycle_config`` takes it (templated).
    :return: the name.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#ded7cf"

    name_key = "NotebookInstanceLifecycleConfigName"
    hooks = ("OnCreate", "OnStart")

    def __init__(self, *, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a request, once it is rendered

    def execute(self, context: Context) -> str:
        """Create it, or update it where its scripts are others."""
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
            self.log.info("The lifecycle configuration %s has these scripts already.", name)
            return name
        conn.update_notebook_instance_lifecycle_config(
            **{self.name_key: name}, **{hook: self.config.get(hook, []) for hook in self.hooks}
        )
        self.log.info("Updated lifecycle configuration %s; its scripts run at the next start.", name)
        return name


class SageMakerDeleteLifecycleConfigIfExistsOperator(AwsBaseOperator[SageMakerHook]):
    """
    Delete a notebook instance's lifecycle configuration; one that is gone already is fine.

    :param config: The request, as boto3's ``delete_notebook_instance_lifecycle_config`` takes it (templated).
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#ded7cf"

    def __init__(self, *, config: Config, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a request, once it is rendered

    def execute(self, context: Context) -> None:
        """Delete it, if it exists."""
        try:
            # A policy that allows to delete only what has a tag denies to delete what does not exist.
            self.hook.conn.describe_notebook_instance_lifecycle_config(**self.config)
            self.hook.conn.delete_notebook_instance_lifecycle_config(**self.config)
            self.log.info("Deleted lifecycle configuration %s.", *self.config.values())
        except ClientError as error:
            if not is_missing(error):
                raise
            self.log.info("There is no lifecycle configuration %s.", *self.config.values())


def _is_changed_elsewhere(error: ClientError) -> bool:
    """Whether an instance can't be changed now because it was created, or is being changed, by somebody else."""
    return error.response["Error"]["Code"] == "ValidationException" and any(
        sign in str(error) for sign in ("Cannot create a duplicate", "Unable to transition", "RecordNotFound")
    )
