"""Wait for EC2 instances and for the commands that run on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, TypedDict

from airflow.providers.amazon.aws.hooks.ec2 import EC2Hook
from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.hooks.ssm import SsmHook
from botocore.exceptions import ClientError

from amazon_ml.instance_status import InstanceStatus, check_instance
from amazon_ml.job_logs import JobLogReader
from amazon_ml.transient_errors import TransientBackoff
from amazon_ml.triggers.base import KILL_SECONDS, AwsWaitTrigger

NEW_INSTANCE_SECONDS = KILL_SECONDS - 10


class CommandEvent(TypedDict):
    """The event of an EC2CommandTrigger."""

    instance_id: str
    command_id: str | None
    """None if the trigger has waited until the instance accepts commands."""
    status: str
    """``ready``, ``ended``, ``lost`` (the instance no longer exists), ``timeout`` or ``error``."""
    message: str


class EC2CommandTrigger(AwsWaitTrigger):
    """
    Fire when a command on an instance has ended or, without a command, when the instance accepts commands.

    A triggerer that takes over the trigger reads the log from the beginning. When a user kills the task, the instance
    is terminated. The other arguments are those of AwsPollingTrigger.

    :param instance_id: The ID of the instance.
    :param command_id: The ID of the command; None to wait until the instance accepts commands.
    :param deadline: When to time out, in seconds since the epoch.
    :param log_group: The CloudWatch log group with the command's output, which is copied to the task's log; None to
        copy no log.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        command_id: str | None = None,
        deadline: float,
        log_group: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            serialized_fields={
                "instance_id": instance_id,
                "command_id": command_id,
                "deadline": deadline,
                "log_group": log_group,
            },
            **kwargs,
        )
        self.instance_id = instance_id
        self.command_id = command_id
        self.deadline = deadline
        self.log_group = log_group

    def hook(self) -> EC2Hook:
        """Return the hook that terminates instances."""
        return EC2Hook(api_type="client_type", **self.hook_parameters)

    async def wait(self) -> CommandEvent:
        """Poll until the instance or the command has a final status, or the deadline has passed."""
        logs = None
        if self.log_group and self.command_id:
            prefix = f"{self.command_id}/{self.instance_id}/aws-runShellScript/"
            logs = JobLogReader(self.log, log_group=self.log_group, log_stream_prefix=prefix)
        try:
            seen = await self.retry_transient(self.instance_id, lambda backoff: self._watch(backoff, logs))
            status, message = seen or ("timeout", "AWS did not respond")
        except Exception as lasting:
            status, message = "error", str(lasting)
        return {
            "instance_id": self.instance_id,
            "command_id": self.command_id,
            "status": status,
            "message": message,
        }

    async def _watch(self, backoff: TransientBackoff, logs: JobLogReader | None) -> tuple[str, str]:
        last = ""
        async with AsyncExitStack() as stack:
            hooks = {"ec2": self.hook(), "ssm": SsmHook(**self.hook_parameters)}
            if logs:
                hooks["logs"] = AwsLogsHook(**self.hook_parameters)
            clients = {
                service: await stack.enter_async_context(await hook.get_async_conn())
                for service, hook in hooks.items()
            }
            while True:
                seen = await self._check(clients)
                backoff.reset()
                if seen.message != last:
                    self.log.info("%s: %s", self.instance_id, seen.message)
                    last = seen.message
                if logs:
                    await logs.read(clients["logs"], rest=seen.status != "waiting")
                if seen.status != "waiting":
                    return seen.status, seen.message
                if self.deadline_has_passed():
                    return "timeout", seen.message
                await asyncio.sleep(self.until_deadline(self.poll_interval))

    async def _check(self, clients: Mapping[str, Any]) -> InstanceStatus:
        calls = check_instance(self.instance_id, self.command_id)
        try:
            service, operation, arguments = next(calls)
            while True:
                answer = await getattr(clients[service], operation)(**arguments)
                service, operation, arguments = calls.send(answer)
        except StopIteration as end:
            seen: InstanceStatus = end.value
            return seen

    async def kill(self) -> None:
        """Terminate the instance when a user marks the task failed or clears it."""
        if await self.is_still_deferred():
            return
        self.log.info("Terminating %s.", self.instance_id)
        deadline = time.monotonic() + NEW_INSTANCE_SECONDS
        async with await self.hook().get_async_conn() as client:
            while True:
                try:
                    await client.terminate_instances(InstanceIds=[self.instance_id])
                    return
                except ClientError as error:
                    is_unknown = error.response["Error"]["Code"] == "InvalidInstanceID.NotFound"
                    if not is_unknown or time.monotonic() > deadline:
                        raise
                # A new instance may not be visible for a few seconds.
                await asyncio.sleep(min(self.poll_interval, 2))
