"""Publish notifications to an SNS topic that is looked up when the notification is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from asgiref.sync import sync_to_async
from botocore.exceptions import BotoCoreError, ClientError

from amazon_ml.notifications.failures import failures

if TYPE_CHECKING:
    from airflow.sdk import Context

# If the policy allows describing only its own stack, AWS denies access to any other name, even if no such stack exists.
MISSING = frozenset({"AccessDenied", "AccessDeniedException", "ValidationError"})
MAX_SUBJECT = 100
"""The number of characters that SNS allows."""


class StackTopicNotifier(SnsNotifier):
    """
    Publish a message to an SNS topic that is given by its ARN or by an output of a CloudFormation stack.

    The stack is read when the message is sent, not when the DAG is parsed. If the stack or the output does not exist,
    no message is sent, and a warning is logged.

    :param stack_name: The name of the stack (not templated).
    :param output_key: The output that holds the topic's ARN.
    :param target_arn: The topic's ARN; the stack is then not read (templated).
    :param message: The message (templated).
    :param subject: The message's subject (templated).
    """

    def __init__(
        self, *, stack_name: str, output_key: str, message: str, target_arn: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(target_arn=target_arn or "", message=message, **kwargs)
        self.stack_name = stack_name
        self.output_key = output_key

    def notify(self, context: Context) -> None:
        """Publish the message."""
        self.target_arn = self.target_arn or self.find_topic()
        if self.target_arn:
            super().notify(context)  # type: ignore[no-untyped-call]

    async def async_notify(self, context: Context) -> None:
        """Publish the message, from the triggerer."""
        self.target_arn = self.target_arn or await sync_to_async(self.find_topic)()
        if self.target_arn:
            await super().async_notify(context)  # type: ignore[no-untyped-call]

    def find_topic(self) -> str:
        """Return the ARN of the topic from the stack; empty if the stack has no such output."""
        hook = AwsBaseHook(
            aws_conn_id=self.aws_conn_id, region_name=self.region_name, client_type="cloudformation"
        )
        try:
            stack = hook.get_conn().describe_stacks(StackName=self.stack_name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            self.log.warning("No notification was sent: stack %s can't be read: %s", self.stack_name, error)
            return ""
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if self.output_key not in outputs:
            self.log.warning(
                "No notification was sent: stack %s has no output %s.", self.stack_name, self.output_key
            )
        return str(outputs.get(self.output_key, ""))


class RunFailureNotifier(StackTopicNotifier):
    """
    Publish why a run failed; for ``on_failure_callback`` of a DAG whose tasks use ``keep_cause`` for theirs.

    :param compose: A callable that returns the message, from the run's ID and the failed tasks with their causes. It is
        called when a run has failed, so it may call AWS.
    """

    def __init__(self, *, compose: Callable[[str, dict[str, str]], str], **kwargs: Any) -> None:
        super().__init__(message="", **kwargs)
        self.compose = compose

    def notify(self, context: Context) -> None:
        """Publish the message."""
        # Airflow passes no task instance if the task of the last one was removed from the DAG during the run.
        failed = failures(context) if "ti" in context else {}
        self.message = self.compose(str(context["run_id"]), failed)
        self.log.info("%s", self.message)
        super().notify(context)


class QuestionNotifier(StackTopicNotifier):
    """
    Publish the question of a human-in-the-loop task, with the text and the options that the Airflow UI shows.

    For ``notifiers`` of an ``HITLOperator``. If the message can't be published, the question is still asked.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(message="", **kwargs)

    def notify(self, context: Context) -> None:
        """Publish the question, with a link to the page that takes the answer."""
        task: Any = context["task"]
        # generate_link_to_ui fails if the URL of the API server is not configured.
        page = f"{context['ti'].log_url.partition('?')[0]}/required_actions"
        self.subject = task.subject[:MAX_SUBJECT]
        self.message = f"{task.subject}\n\n{task.body}\n\nAnswer with {' or '.join(task.options)}: {page}"
        try:
            super().notify(context)
        except (ClientError, BotoCoreError) as error:
            self.log.warning("The question is open, but no notification was sent: %s", error)


class LateRunNotifier(StackTopicNotifier):
    """
    Publish that a run has missed its deadline, unless the run has ended.

    Airflow deletes the deadline of a run that succeeds, and keeps that of a run that fails (apache/airflow#60927).
    """

    def notify(self, context: Context) -> None:
        """Publish the message."""
        if not self._has_ended(context):
            super().notify(context)

    async def async_notify(self, context: Context) -> None:
        """Publish the message, from the triggerer."""
        if not self._has_ended(context):
            await super().async_notify(context)

    def _has_ended(self, context: Context) -> bool:
        run: Any = context["dag_run"]  # Airflow passes a dictionary to a deadline's callback
        if run["state"] not in ("failed", "success"):
            return False
        self.log.info("No alert: the deadline of run %s passed after its end.", run["dag_run_id"])
        return True
