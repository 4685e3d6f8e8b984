"""Wait until an alias has moved and its provisioned concurrency is ready."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook

from amazon_ml.outage import Outage
from amazon_ml.triggers.base import AwsWaitTrigger


class LambdaProvisionedConcurrencyTrigger(AwsWaitTrigger):
    """
    Fire when provisioned concurrency is ready and its alias has no weights any more, or when it has failed or is gone.

    While an alias with provisioned concurrency moves, Lambda itself gives the version that it leaves a weight of 1,
    until the new one is provisioned. Throttling, faults of Lambda's own and broken connections are waited out for a
    while, at most to the deadline. Further arguments are those of AwsPollingTrigger.

    :param function_name: The name of the function.
    :param qualifier: The alias or version.
    :param deadline: When to give up, in seconds since the epoch.
    """

    def __init__(self, *, function_name: str, qualifier: str, deadline: float, **kwargs: Any) -> None:
        super().__init__(
            serialized_fields={
                "function_name": function_name,
                "qualifier": qualifier,
                "deadline": deadline,
            },
            **kwargs,
        )
        self.function_name = function_name
        self.qualifier = qualifier
        self.deadline = deadline

    def hook(self) -> LambdaHook:
        """Build the hook this trigger waits with."""
        return LambdaHook(**self.hook_parameters)

    async def wait(self) -> dict[str, Any]:
        """Look until the state is a final one, or time is up."""
        try:
            event = await self.ask_patiently(f"{self.function_name}:{self.qualifier}", self._watch)
        except Exception as lasting:
            event = {"status": "error", "reason": str(lasting)}
        return event or {"status": "IN_PROGRESS", "reason": ""}

    async def _watch(self, outage: Outage) -> dict[str, str]:
        """Return the event for the final state, or the one at the end of time."""
        async with await self.hook().get_async_conn() as client:
            while True:
                event = await self._look(client)
                outage.over()
                self.log.info("%s:%s: %s", self.function_name, self.qualifier, event["status"])
                if event["status"] != "IN_PROGRESS" or self.time_is_over():
                    return event
                await asyncio.sleep(self.until_deadline(self.poll_interval))

    async def _look(self, client: Any) -> dict[str, str]:
        answer = await client.get_provisioned_concurrency_config(
            FunctionName=self.function_name, Qualifier=self.qualifier
        )
        status = answer["Status"]
        if status == "READY" and not self.qualifier.isdecimal():
            alias = await client.get_alias(FunctionName=self.function_name, Name=self.qualifier)
            if (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
                status = "IN_PROGRESS"
        return {"status": status, "reason": answer.get("StatusReason", "")}
