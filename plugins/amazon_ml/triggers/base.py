"""Base classes of the triggers that poll AWS."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypedDict, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent
from airflow.utils.state import TaskInstanceState
from asgiref.sync import sync_to_async

from amazon_ml.transient_errors import TransientBackoff

T = TypeVar("T")
KILL_SECONDS = 25
"""Less than the 30 seconds that Airflow gives ``on_kill`` (``[triggerer] on_kill_timeout``)."""


BotocoreConfig = dict[str, Any]
"""The arguments of ``botocore.config.Config``."""


class HookParameters(TypedDict):
    """The arguments that every hook of the provider accepts."""

    aws_conn_id: str | None
    region_name: str | None
    verify: bool | str | None
    config: BotocoreConfig | None


class AwsPollingTrigger(BaseTrigger):
    """
    Poll AWS, and retry transient errors.

    The provider's ``AwsBaseWaiterTrigger`` counts attempts and keeps its first client. This trigger has a deadline, and
    creates new clients after a transient error.

    :param serialized_fields: The arguments of the subclass, by name.
    :param poll_interval: The number of seconds between two polls.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: AWS region_name.
    :param verify: Whether to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    # When to time out, in seconds since the epoch; None for never. It survives a restart of the triggerer.
    deadline: float | None = None

    def __init__(
        self,
        *,
        serialized_fields: Mapping[str, object],
        poll_interval: float = 30,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: BotocoreConfig | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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
    def hook_parameters(self) -> HookParameters:
        """The arguments that every hook of the provider accepts."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "config": self.botocore_config,
        }

    async def retry_transient(self, what: str, poll: Callable[[TransientBackoff], Awaitable[T]]) -> T | None:
        """
        Return the result of ``poll``; None if the deadline passes while AWS is unavailable.

        After a transient error, ``poll`` is called again. It creates new clients, which have new connections and, if
        necessary, new credentials. ``poll`` resets the backoff after each successful call.

        :param what: The polled resource, for the log.
        :raises Exception: An error that is permanent or has lasted too long.
        """
        backoff = TransientBackoff(self.poll_interval)
        while True:
            try:
                return await poll(backoff)
            except Exception as error:
                pause = backoff.next_delay(error)
                self.log.warning("The state of %s can't be read now: %s", what, error)
            if self.deadline_has_passed():
                return None
            await asyncio.sleep(self.until_deadline(pause))

    def deadline_has_passed(self) -> bool:
        """Return whether the deadline has passed."""
        return self.deadline is not None and time.time() >= self.deadline

    def until_deadline(self, pause: float) -> float:
        """Return the number of seconds to pause, limited by the deadline."""
        return pause if self.deadline is None else max(0.0, min(pause, self.deadline - time.time()))


class AwsWaitTrigger(AwsPollingTrigger):
    """Fire once, with the result of the wait."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        yield TriggerEvent(await self.wait())

    @abstractmethod
    async def wait(self) -> Mapping[str, object]:
        """Return the event's payload when the wait has ended."""

    async def kill(self) -> None:
        """Stop the resource that the task waits for; called when a user marks the task failed or clears it."""

    async def on_kill(self) -> None:
        """
        Stop the resource that the task waits for, even if Airflow cancels the trigger again meanwhile.

        The triggerer of Airflow 3.3.2 cancels a killed trigger about every second, each time it checks its triggers
        (``cancelling_triggers`` in ``triggerer_job_runner.py``), until the trigger has ended. On a busy machine, this
        happened before the stop request was sent. No upstream issue is known.
        """
        work = asyncio.ensure_future(self.kill())
        end = time.monotonic() + KILL_SECONDS
        while not work.done():
            try:
                # Unlike awaiting the work itself, this does not propagate a cancellation.
                await asyncio.wait({work}, timeout=max(0.0, end - time.monotonic()))
            except asyncio.CancelledError:
                self.log.debug(
                    "Airflow cancels the trigger again. It ends once the stop request has been sent."
                )
            if time.monotonic() >= end and not work.done():
                work.cancel()
                self.log.error("The resource could not be stopped within %d seconds.", KILL_SECONDS)
                return
        work.result()

    async def is_still_deferred(self) -> bool:
        """
        Return whether the task is deferred: another trigger then waits for the resource, and nothing may be stopped.

        Airflow calls ``on_kill`` not only when a user marks the task or clears it. It also does so when another
        triggerer has taken over this trigger (apache/airflow#73454), and after a Clear it may do so only when the next
        try is already waiting (apache/airflow#72100).
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
            # Nothing else would stop a resource that the user wants to stop and that incurs costs.
            self.log.warning("The state of the task is unknown (%s). Treating it as killed.", error)
            return False
        is_deferred = TaskInstanceState.DEFERRED in states.get(instance.run_id, {}).values()
        if is_deferred:
            self.log.info("The task is still deferred, with another trigger. Nothing is stopped.")
        return is_deferred
