"""Tell an SNS topic that is found when there is something to tell: of a failed run, or of anything else."""

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

# With the right to describe its own stack alone, access to any name that is no stack's is denied.
MISSING = frozenset({"AccessDenied", "AccessDeniedException", "ValidationError"})
MAX_SUBJECT = 100
"""Characters that SNS allows."""


class StackTopicNotifier(SnsNotifier):
    """
    Publish a message to an SNS topic, which is named, or is an output of a CloudFormation stack.

    The stack is asked when there is something to tell, not when the DAG is read. Where it has no such output, or is
    not there, nobody is told, and the log says so.

    :param stack_name: The name of the stack (not templated).
    :param output_key: The output that holds the topic's ARN.
    :param target_arn: The topic's ARN, where the stack shall not be asked (templated).
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
            super().notify(context)

    async def async_notify(self, context: Context) -> None:
        """Publish the message, from the triggerer."""
        self.target_arn = self.target_arn or await sync_to_async(self.find_topic)()
        if self.target_arn:
            await super().async_notify(context)

    def find_topic(self) -> str:
        """Ask the stack; empty where it names no topic."""
        hook = AwsBaseHook(
            aws_conn_id=self.aws_conn_id, region_name=self.region_name, client_type="cloudformation"
        )
        try:
            stack = hook.get_conn().describe_stacks(StackName=self.stack_name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            self.log.warning(
                "Nobody is told: there is no stack %s that can be read: %s", self.stack_name, error
            )
            return ""
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if self.output_key not in outputs:
            self.log.warning("Nobody is told: stack %s has no output %s.", self.stack_name, self.output_key)
        return str(outputs.get(self.output_key, ""))


class RunFailureNotifier(StackTopicNotifier):
    """
    Publish why a run failed; for ``on_failure_callback`` of a DAG, whose tasks have ``keep_cause`` for theirs.

    :param compose: Makes the message, of the run's id and of the failed tasks with their causes. It is called when a
        run has failed, so it may ask AWS.
    """

    def __init__(self, *, compose: Callable[[str, dict[str, str]], str], **kwargs: Any) -> None:
        super().__init__(message="", **kwargs)
        self.compose = compose

    def notify(self, context: Context) -> None:
        """Publish the message."""
        # Airflow gives no task instance where the last one's task has been removed from the DAG meanwhile.
        failed = failures(context) if "ti" in context else {}
        self.message = self.compose(str(context["run_id"]), failed)
        self.log.info("%s", self.message)
        super().notify(context)


class QuestionNotifier(StackTopicNotifier):
    """
    Publish the question that a task asks a person, with the text and the options that Airflow's UI shows.

    For ``notifiers`` of an ``HITLOperator``. A question whose message can't be published is asked all the same.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(message="", **kwargs)

    def notify(self, context: Context) -> None:
        """Publish the question, with a link to the page that takes the answer."""
        task: Any = context["task"]
        # Not generate_link_to_ui, which fails where the API server's address is not configured.
        page = f"{context['ti'].log_url.partition('?')[0]}/required_actions"
        self.subject = task.subject[:MAX_SUBJECT]
        self.message = f"{task.subject}\n\n{task.body}\n\nAnswer with {' or '.join(task.options)}: {page}"
        try:
            super().notify(context)
        except (ClientError, BotoCoreError) as error:
            self.log.warning("The question is asked, but nobody is told: %s", error)


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
        run: Any = context["dag_run"]  # a dictionary, as Airflow gives it to a deadline's callback
        if run["state"] not in ("failed", "success"):
            return False
        self.log.info("No alert: the deadline of run %s passed after its end.", run["dag_run_id"])
        return True
