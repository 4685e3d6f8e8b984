"""Wait for SageMaker jobs and endpoints."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, NotRequired, TypedDict

from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from botocore.exceptions import ClientError

from amazon_ml.job_logs import JobLogReader
from amazon_ml.stop_mark import arn_key, marked
from amazon_ml.transient_errors import TransientBackoff
from amazon_ml.triggers.base import AwsWaitTrigger
from include.aws.documents import AwsAnswer


def progress(description: AwsAnswer, status_key: str) -> str:
    """Return one line with a resource's status and the details that SageMaker reports."""
    parts = [description[status_key]]
    secondary = description.get("SecondaryStatus", "")
    if secondary != parts[0]:
        parts.append(secondary)
    transitions = description.get("SecondaryStatusTransitions") or [{}]
    parts.append(transitions[-1].get("StatusMessage", ""))
    counters = description.get("TrainingJobStatusCounters", {})
    parts.append(", ".join(f"{number} {state}" for state, number in counters.items() if number))
    return " - ".join(part for part in parts if part)


class StatusEvent(TypedDict):
    """The event of a SageMakerStatusTrigger."""

    name: str
    """The name of the resource."""
    status: str
    """The status of the resource, ``timeout`` if the deadline has passed, or ``error``."""
    message: NotRequired[str]
    """Of an error."""


class SageMakerStatusTrigger(AwsWaitTrigger):
    """
    Fire when a SageMaker resource leaves the given states.

    A triggerer that takes over the trigger reads the log from the beginning. The other arguments are those of
    AwsPollingTrigger.

    :param describe: The name of the boto3 method that describes the resource, such as ``describe_training_job``.
    :param describe_args: The arguments of that method.
    :param status_key: The key of the status in its response.
    :param pending_states: The states in which to continue waiting.
    :param stop: The name of the boto3 method that stops the resource when a user kills the task or the deadline has
        passed; None to never stop it.
    :param deadline: When to time out, in seconds since the epoch; None for never.
    :param log_group: The CloudWatch log group whose new lines are copied to the task's log; None to copy no log.
    :param log_stream_prefix: The prefix of the names of the log streams to read.
    """

    def __init__(
        self,
        *,
        describe: str,
        describe_args: dict[str, str],
        status_key: str,
        pending_states: list[str],
        stop: str | None = None,
        deadline: float | None = None,
        log_group: str | None = None,
        log_stream_prefix: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            serialized_fields={
                "describe": describe,
                "describe_args": describe_args,
                "status_key": status_key,
                "pending_states": pending_states,
                "stop": stop,
                "deadline": deadline,
                "log_group": log_group,
                "log_stream_prefix": log_stream_prefix,
            },
            **kwargs,
        )
        self.describe = describe
        self.describe_args = describe_args
        self.status_key = status_key
        self.pending_states = pending_states
        self.stop = stop
        self.deadline = deadline
        self.log_group = log_group
        self.log_stream_prefix = log_stream_prefix
        self.name = next(iter(describe_args.values()))

    def hook(self) -> SageMakerHook:
        """Return the hook that polls SageMaker."""
        return SageMakerHook(**self.hook_parameters)

    async def wait(self) -> StatusEvent:
        """Poll until the state is final or the deadline has passed."""
        logs = (
            JobLogReader(self.log, log_group=self.log_group, log_stream_prefix=self.log_stream_prefix)
            if self.log_group
            else None
        )
        try:
            status = await self.retry_transient(self.name, lambda backoff: self._watch(backoff, logs))
            return {"name": self.name, "status": status or "timeout"}
        except Exception as lasting:
            return {"name": self.name, "status": "error", "message": str(lasting)}

    async def _watch(self, backoff: TransientBackoff, logs: JobLogReader | None) -> str:
        """Return the final status, or ``timeout``, after which the job is being stopped."""
        last = ""
        async with AsyncExitStack() as clients:
            client = await clients.enter_async_context(await self.hook().get_async_conn())
            if logs:
                logs_hook = AwsLogsHook(**self.hook_parameters)
                logs_client = await clients.enter_async_context(await logs_hook.get_async_conn())
            while True:
                description = await getattr(client, self.describe)(**self.describe_args)
                backoff.reset()
                status = description[self.status_key]
                if (now := progress(description, self.status_key)) != last:
                    self.log.info("%s: %s", self.name, now)
                    last = now
                if logs:
                    await logs.read(logs_client, rest=status not in self.pending_states)
                if status not in self.pending_states:
                    return str(status)
                if self.deadline_has_passed():
                    await self._stop(client)
                    return "timeout"
                await asyncio.sleep(self.until_deadline(self.poll_interval))

    async def _stop(self, client: Any) -> None:
        """Stop the resource, if it can be stopped and has not ended."""
        if self.stop is None:
            return
        self.log.info("Stopping %s.", self.name)
        try:
            await getattr(client, self.stop)(**self.describe_args)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            self.log.info("%s does not need to be stopped: %s", self.name, error)

    async def kill(self) -> None:
        """Stop the job when a user marks the task failed or clears it."""
        if self.stop is None or await self.is_still_deferred():
            return
        async with await self.hook().get_async_conn() as client:
            try:
                description = await getattr(client, self.describe)(**self.describe_args)
                if description[self.status_key] not in self.pending_states:
                    self.log.info("%s does not need to be stopped: it has ended.", self.name)
                    return
                # Tag the job before stopping it, since the next try may have adopted it already.
                arn = description[arn_key(next(iter(self.describe_args)))]
                tags = (await client.list_tags(ResourceArn=arn))["Tags"]
                await client.add_tags(ResourceArn=arn, Tags=marked(tags))
            except ClientError as error:
                self.log.warning("%s can't be tagged as stopped by Airflow: %s", self.name, error)
            await self._stop(client)
