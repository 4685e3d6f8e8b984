"""Wait until an alias points to its version and its provisioned concurrency is ready."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook

from amazon_ml.transient_errors import TransientBackoff
from amazon_ml.triggers.base import AwsWaitTrigger
from include.aws.lambda_alias import IN_PROGRESS, weights_of


class ProvisioningEvent(TypedDict):
    """The event of a LambdaProvisionedConcurrencyTrigger."""

    status: str
    """The status of the provisioned concurrency, or ``error``."""
    reason: str
    """Of a failure or an error."""


class LambdaProvisionedConcurrencyTrigger(AwsWaitTrigger):
    """
    Fire when provisioned concurrency is ready and its alias has no weights, or when it has failed or does not exist.

    While an alias with provisioned concurrency is updated, Lambda gives the previous version a weight of 1 until the
    new version is provisioned. Throttling, internal errors of Lambda and broken connections are retried for a limited
    time, at most until the deadline. The other arguments are those of AwsPollingTrigger.

    :param function_name: The name of the function.
    :param qualifier: The alias or version.
    :param deadline: When to time out, in seconds since the epoch.
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
        """Return the hook that polls Lambda."""
        return LambdaHook(**self.hook_parameters)

    async def wait(self) -> ProvisioningEvent:
        """Poll until the state is final or the deadline has passed."""
        try:
            event = await self.retry_transient(f"{self.function_name}:{self.qualifier}", self._watch)
        except Exception as lasting:
            return {"status": "error", "reason": str(lasting)}
        return event or {"status": IN_PROGRESS, "reason": ""}

    async def _watch(self, backoff: TransientBackoff) -> ProvisioningEvent:
        """Return the event for the final state, or for the state at the deadline."""
        async with await self.hook().get_async_conn() as client:
            while True:
                event = await self._check(client)
                backoff.reset()
                self.log.info("%s:%s: %s", self.function_name, self.qualifier, event["status"])
                if event["status"] != IN_PROGRESS or self.deadline_has_passed():
                    return event
                await asyncio.sleep(self.until_deadline(self.poll_interval))

    async def _check(self, client: Any) -> ProvisioningEvent:
        answer = await client.get_provisioned_concurrency_config(
            FunctionName=self.function_name, Qualifier=self.qualifier
        )
        status = answer["Status"]
        if status == "READY" and not self.qualifier.isdecimal():
            alias = await client.get_alias(FunctionName=self.function_name, Name=self.qualifier)
            if weights_of(alias):
                status = IN_PROGRESS
        return {"status": status, "reason": answer.get("StatusReason", "")}
