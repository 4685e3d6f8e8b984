"""Wait for SageMaker's jobs and endpoints."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from botocore.exceptions import ClientError

from amazon_ml.job_logs import JobLogReader
from amazon_ml.outage import Outage
from amazon_ml.stop_mark import arn_key, marked
from amazon_ml.triggers.base import AwsWaitTrigger


def progress(description: dict[str, Any], status_key: str) -> str:
    """Say in a line how far a resource is: its status, and what SageMaker adds to it."""
    parts = [description[status_key]]
    secondary = description.get("SecondaryStatus", "")
    if secondary != parts[0]:
        parts.append(secondary)
    transitions = description.get("SecondaryStatusTransitions") or [{}]
    parts.append(transitions[-1].get("StatusMessage", ""))
    counters = description.get("TrainingJobStatusCounters", {})
    parts.append(", ".join(f"{number} {state}" for state, number in counters.items() if number))
    return " - ".join(part for part in parts if part)


class SageMakerStatusTrigger(AwsWaitTrigger):
    """
    Fire when a SageMaker resource leaves the given states.

    The event has ``name`` and ``status``: the resource's own, ``timeout`` if the deadline is over, or ``error`` with
    a ``message``. A triggerer that takes the trigger over reads the log from its beginning. Further arguments are
    those of AwsPollingTrigger.

    :param describe: name of the boto3 method that describes the resource, such as ``describe_training_job``.
    :param describe_args: its arguments.
    :param status_key: the key of the status in its answer.
    :param pending_states: the states in which to go on waiting.
    :param stop: name of the boto3 method that stops the resource when a user kills the task or the deadline is
        over; None for none.
    :param deadline: when to give up, in seconds since the epoch; None for never.
    :param log_group: the CloudWatch log group whose new lines are passed on; None for none.
    :param log_stream_prefix: what the names of the log streams to read begin with.
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
        """Build the hook this trigger waits with."""
        return SageMakerHook(**self.hook_parameters)

    async def wait(self) -> dict[str, Any]:
        """Look until the state is a final one."""
        logs = (
            JobLogReader(self.log, log_group=self.log_group, log_stream_prefix=self.log_stream_prefix)
            if self.log_group
            else None
        )
        try:
            status = await self.ask_patiently(self.name, lambda outage: self._watch(outage, logs))
            event = {"status": status or "timeout"}
        except Exception as lasting:
            event = {"status": "error", "message": str(lasting)}
        return {"name": self.name, **event}

    async def _watch(self, outage: Outage, logs: JobLogReader | None) -> str:
        """Return the final status, or ``timeout``; then the job is being stopped."""
        last = ""
        async with AsyncExitStack() as clients:
            client = await clients.enter_async_context(await self.hook().get_async_conn())
            if logs:
                logs_hook = AwsLogsHook(**self.hook_parameters)
                logs_client = await clients.enter_async_context(await logs_hook.get_async_conn())
            while True:
                description = await getattr(client, self.describe)(**self.describe_args)
                outage.over()
                status = description[self.status_key]
                if (now := progress(description, self.status_key)) != last:
                    self.log.info("%s: %s", self.name, now)
                    last = now
                if logs:
                    await logs.read_async(logs_client, rest=status not in self.pending_states)
                if status not in self.pending_states:
                    return status
                if self.time_is_over():
                    await self._stop(client)
                    return "timeout"
                await asyncio.sleep(self.until_deadline(self.poll_interval))

    async def _stop(self, client: Any) -> None:
        """Stop the resource, if that is possible at all and it has not ended in the meantime."""
        if self.stop is None:
            return
        self.log.info("Stopping %s.", self.name)
        try:
            await getattr(client, self.stop)(**self.describe_args)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            self.log.info("%s need not be stopped: %s", self.name, error)

    async def kill(self) -> None:
        """Stop the job when a user marks the task failed or clears it."""
        if self.stop is None or await self.is_still_deferred():
            return
        async with await self.hook().get_async_conn() as client:
            try:
                description = await getattr(client, self.describe)(**self.describe_args)
                if description[self.status_key] not in self.pending_states:
                    self.log.info("%s need not be stopped: it has ended.", self.name)
                    return
                # Before the stop: the next try may have adopted the job already.
                arn = description[arn_key(next(iter(self.describe_args)))]
                tags = (await client.list_tags(ResourceArn=arn))["Tags"]
                await client.add_tags(ResourceArn=arn, Tags=marked(tags))
            except ClientError as error:
                self.log.warning("%s can't be marked as stopped by Airflow: %s", self.name, error)
            await self._stop(client)
