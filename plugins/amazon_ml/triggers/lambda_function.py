"""Wait for Lambda's provisioned concurrency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from amazon_ml.outage import Outage


class LambdaProvisionedConcurrencyTrigger(BaseTrigger):
    """
    Fire when provisioned concurrency is ready, has failed or is gone.

    Throttling, faults of Lambda's own and broken connections are waited out for a while, at most to ``end_time``.

    :param function_name: The name of the function.
    :param qualifier: The alias or version.
    :param end_time: When to give up, in seconds since 1970: a restarted triggerer keeps to it.
    :param poll_interval: Seconds between two looks at the state.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: AWS region_name.
    :param verify: Whether to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    def __init__(
        self,
        *,
        function_name: str,
        qualifier: str,
        end_time: float,
        poll_interval: float = 10,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.function_name = function_name
        self.qualifier = qualifier
        self.end_time = end_time
        self.poll_interval = poll_interval
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Serialize the trigger's class path and arguments."""
        names = (
            "function_name",
            "qualifier",
            "end_time",
            "poll_interval",
            "aws_conn_id",
            "region_name",
            "verify",
            "botocore_config",
        )
        return (
            f"{self.__class__.__module__}.{self.__class__.__qualname__}",
            {name: getattr(self, name) for name in names},
        )

    def hook(self) -> LambdaHook:
        """Build the hook this trigger waits with."""
        return LambdaHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the state is a final one, or time is up."""
        outage = Outage(self.poll_interval)
        event = {"status": "IN_PROGRESS", "reason": ""}
        while event["status"] == "IN_PROGRESS" and time.time() < self.end_time:
            # With a new client after any trouble: it has new connections and, where need be, credentials.
            try:
                event = await self._wait(outage)
            except Exception as error:
                try:
                    pause = outage.pause(error)
                except Exception as lasting:
                    event = {"status": "error", "reason": str(lasting)}
                else:
                    self.log.warning(
                        "Lambda can't be asked for %s:%s now: %s", self.function_name, self.qualifier, error
                    )
                    await asyncio.sleep(self._until_end(pause))
        yield TriggerEvent(event)

    async def _wait(self, outage: Outage) -> dict[str, str]:
        """Return the event for the final state, or the one at the end of time."""
        async with await self.hook().get_async_conn() as client:
            while True:
                answer = await client.get_provisioned_concurrency_config(
                    FunctionName=self.function_name, Qualifier=self.qualifier
                )
                outage.over()
                self.log.info("%s:%s: %s", self.function_name, self.qualifier, answer["Status"])
                if answer["Status"] != "IN_PROGRESS" or time.time() >= self.end_time:
                    return {"status": answer["Status"], "reason": answer.get("StatusReason", "")}
                await asyncio.sleep(self._until_end(self.poll_interval))

    def _until_end(self, pause: float) -> float:
        return max(0.0, min(pause, self.end_time - time.time()))
