"""Wait for EC2 instances, and for the commands on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from airflow.providers.amazon.aws.hooks.ec2 import EC2Hook
from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.hooks.ssm import SsmHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from amazon_ml.instance_look import Look, look
from amazon_ml.job_logs import JobLogReader
from amazon_ml.outage import Outage


class EC2CommandTrigger(BaseTrigger):
    """
    Fire when a command on an instance has ended or, without a command, when the instance takes commands.

    The event has ``instance_id``, ``command_id`` and ``status``: ``ready``, ``ended``, ``lost`` if the instance is no
    longer there, ``timeout`` if the deadline is over, or ``error``; and a ``message``. A triggerer that takes the
    trigger over reads the log from its beginning. When a user kills the task, the instance is terminated.

    :param instance_id: the instance.
    :param command_id: the command; None to wait until the instance takes commands.
    :param poll_interval: seconds between two looks.
    :param deadline: when to give up, in seconds since the epoch.
    :param log_group: the CloudWatch log group that gets the command's output, which is passed on; None for none.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: AWS region_name.
    :param verify: Whether to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        command_id: str | None = None,
        poll_interval: float = 30,
        deadline: float,
        log_group: str | None = None,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict | None = None,
    ) -> None:
        super().__init__()
        self.instance_id = instance_id
        self.command_id = command_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.log_group = log_group
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Serialize the trigger's class path and arguments."""
        names = (
            "instance_id",
            "command_id",
            "poll_interval",
            "deadline",
            "log_group",
            "aws_conn_id",
            "region_name",
            "verify",
            "botocore_config",
        )
        return (
            f"{self.__class__.__module__}.{self.__class__.__qualname__}",
            {name: getattr(self, name) for name in names},
        )

    def hook(self) -> EC2Hook:
        """Build the hook that instances are terminated with."""
        return EC2Hook(api_type="client_type", **self._hook_parameters)

    @property
    def _hook_parameters(self) -> dict[str, Any]:
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "config": self.botocore_config,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an end."""
        outage = Outage(self.poll_interval)
        logs = None
        if self.log_group and self.command_id:
            prefix = f"{self.command_id}/{self.instance_id}/aws-runShellScript/"
            logs = JobLogReader(self.log, log_group=self.log_group, log_stream_prefix=prefix)
        while True:
            # With new clients after any trouble: they have new connections and, where need be, credentials.
            try:
                status, message = await self._wait(outage, logs)
                break
            except Exception as error:
                try:
                    pause = outage.pause(error)
                except Exception as lasting:
                    status, message = "error", str(lasting)
                    break
                self.log.warning("AWS can't be asked for %s now: %s", self.instance_id, error)
            if self._time_is_over():
                status, message = "timeout", "AWS did not answer"
                break
            await asyncio.sleep(self._until_deadline(pause))
        yield TriggerEvent(
            {
                "instance_id": self.instance_id,
                "command_id": self.command_id,
                "status": status,
                "message": message,
            }
        )

    async def _wait(self, outage: Outage, logs: JobLogReader | None) -> tuple[str, str]:
        last = ""
        async with AsyncExitStack() as stack:
            hooks = {"ec2": self.hook(), "ssm": SsmHook(**self._hook_parameters)}
            if logs:
                hooks["logs"] = AwsLogsHook(**self._hook_parameters)
            clients = {
                service: await stack.enter_async_context(await hook.get_async_conn())
                for service, hook in hooks.items()
            }
            while True:
                seen = await self._look(clients)
                outage.over()
                if seen.message != last:
                    self.log.info("%s: %s", self.instance_id, seen.message)
                    last = seen.message
                if logs:
                    await logs.read_async(clients["logs"], rest=seen.status != "waiting")
                if seen.status != "waiting":
                    return seen.status, seen.message
                if self._time_is_over():
                    return "timeout", seen.message
                await asyncio.sleep(self._until_deadline(self.poll_interval))

    async def _look(self, clients: dict[str, Any]) -> Look:
        calls = look(self.instance_id, self.command_id)
        try:
            service, operation, arguments = next(calls)
            while True:
                answer = await getattr(clients[service], operation)(**arguments)
                service, operation, arguments = calls.send(answer)
        except StopIteration as end:
            seen: Look = end.value
            return seen

    def _time_is_over(self) -> bool:
        return time.time() >= self.deadline

    def _until_deadline(self, pause: float) -> float:
        return max(0.0, min(pause, self.deadline - time.time()))

    async def on_kill(self) -> None:
        """Terminate the instance when a user marks the task failed or clears it."""
        self.log.info("Terminating %s.", self.instance_id)
        async with await self.hook().get_async_conn() as client:
            await client.terminate_instances(InstanceIds=[self.instance_id])
