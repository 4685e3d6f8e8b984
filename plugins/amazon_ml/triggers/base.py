"""What the triggers that ask AWS again and again have in common."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent
from airflow.utils.state import TaskInstanceState
from asgiref.sync import sync_to_async

from amazon_ml.outage import Outage

T = TypeVar("T")
KILL_SECONDS = 25
"""Less than the 30 seconds that Airflow gives ``on_kill`` (``[triggerer] on_kill_timeout``)."""


class AwsPollingTrigger(BaseTrigger):
    """
    Ask AWS again and again, and bear that it can't be asked for a while.

    The provider's ``AwsBaseWaiterTrigger`` counts attempts and keeps the client that it began with. This one keeps to
    a deadline, and makes new clients after any trouble that passes.

    :param serialized_fields: the arguments of the subclass's own, by name.
    :param poll_interval: seconds between two looks.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: AWS region_name.
    :param verify: Whether to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    # When to give up, in seconds since the epoch, which a restarted triggerer keeps to; None for never.
    deadline: float | None = None

    def __init__(
        self,
        *,
        serialized_fields: dict[str, Any],
        poll_interval: float = 30,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.serialized_fields = serialized_fields
        self.poll_interval = poll_interval
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Serialize the trigger's class path and arguments."""
        return (
            f"{self.__class__.__module__}.{self.__class__.__qualname__}",
            {
                **self.serialized_fields,
                "poll_interval": self.poll_interval,
                "aws_conn_id": self.aws_conn_id,
                "region_name": self.region_name,
                "verify": self.verify,
                "botocore_config": self.botocore_config,
            },
        )

    @property
    def hook_parameters(self) -> dict[str, Any]:
        """What every hook of the provider's takes."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "config": self.botocore_config,
        }

    async def ask_patiently(self, what: str, ask: Callable[[Outage], Awaitable[T]]) -> T | None:
        """
        Return what ``ask`` returns; None if the deadline comes while AWS can't be asked.

        After any trouble it is called again, to make new clients: they have new connections and, where need be,
        credentials. It tells the outage when AWS has answered.

        :param what: what AWS is asked for, to be named in the log.
        :raises Exception: trouble that does not pass by itself, or has lasted too long.
        """
        outage = Outage(self.poll_interval)
        while True:
            try:
                return await ask(outage)
            except Exception as error:
                pause = outage.pause(error)
                self.log.warning("AWS can't be asked for %s now: %s", what, error)
            if self.time_is_over():
                return None
            await asyncio.sleep(self.until_deadline(pause))

    def time_is_over(self) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and time.time() >= self.deadline

    def until_deadline(self, pause: float) -> float:
        """Return the seconds to pause, fewer if the deadline comes before."""
        return pause if self.deadline is None else max(0.0, min(pause, self.deadline - time.time()))


class AwsWaitTrigger(AwsPollingTrigger):
    """Fire once, with the result of a wait."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        yield TriggerEvent(await self.wait())

    @abstractmethod
    async def wait(self) -> dict[str, Any]:
        """Return the event's payload when the wait is over."""

    async def kill(self) -> None:
        """Stop what the task waits for; called when a user marks the task failed or clears it."""

    async def on_kill(self) -> None:
        """
        Stop what the task waits for, however often Airflow cancels the trigger meanwhile.

        The triggerer of Airflow 3.3.2 cancels a killed trigger again with each look at its triggers, about every second
        (``cancelling_triggers`` in ``triggerer_job_runner.py``), until the trigger has ended. On a busy machine that
        was before the stop had been sent. No upstream issue is known.
        """
        work = asyncio.ensure_future(self.kill())
        end = time.monotonic() + KILL_SECONDS
        while not work.done():
            try:
                # Unlike an await of the work, this does not hand on a cancellation.
                await asyncio.wait({work}, timeout=max(0.0, end - time.monotonic()))
            except asyncio.CancelledError:
                self.log.debug("Airflow cancels the trigger again; it ends once the stop has been sent.")
            if time.monotonic() >= end and not work.done():
                work.cancel()
                self.log.error("What the task waited for could not be stopped in %d seconds.", KILL_SECONDS)
                return
        work.result()

    async def is_still_deferred(self) -> bool:
        """
        Return whether the task is deferred, so that another trigger waits for the same and nothing may be stopped.

        Airflow calls ``on_kill`` not only when a person marks the task or clears it, but also when another triggerer
        has taken over this trigger (apache/airflow#73454), and so late after a Clear that the next try may wait
        already (apache/airflow#72100).
        """
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        instance = self.task_instance
        if instance is None:
            return False
        try:
            states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
                dag_id=instance.dag_id,
                task_ids=[instance.task_id],
                run_ids=[instance.run_id],
                map_index=instance.map_index,
            )
        except Exception as error:
            # Nothing else would stop what a person wants stopped, and it is paid for.
            self.log.warning("The state of the task is unknown (%s): taking it for killed.", error)
            return False
        is_deferred = TaskInstanceState.DEFERRED in states.get(instance.run_id, {}).values()
        if is_deferred:
            self.log.info("The task still waits, with another trigger: nothing is stopped.")
        return is_deferred
