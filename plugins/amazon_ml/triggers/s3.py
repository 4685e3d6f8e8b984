"""Watch for new objects in S3."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from botocore.exceptions import ClientError

from amazon_ml.outage import LONGEST_PAUSE_SECONDS, Outage
from amazon_ml.triggers.base import AwsPollingTrigger

STATE_KEY = "amazon_ml.s3_content"
ABSENT = "absent"


class S3ContentChangedTrigger(AwsPollingTrigger, BaseEventTrigger):
    """
    Fire whenever an object, or what lies below a prefix, has become another.

    For the watcher of an asset: it never ends. What was seen last is kept in the asset's state store, so that a change
    while no triggerer ran is noticed too. What is there when it looks for the first time is no change, and neither is
    a deletion. An upload that still goes on is waited for: the content must be the same in two looks.
    Further arguments are those of AwsPollingTrigger.

    :param bucket_name: Name of the bucket.
    :param key: Key of the object; where there is none of that key, or it ends with a slash, all objects below it.
    :param asset_name: Name of the asset that is watched. Airflow uses one trigger for all assets whose watchers have
        equal arguments, and then refuses their state store as ambiguous (apache/airflow#71460).
    :param poll_interval: seconds between two looks.
    """

    def __init__(
        self, *, bucket_name: str, key: str, asset_name: str, poll_interval: float = 300, **kwargs: Any
    ) -> None:
        fields = {"bucket_name": bucket_name, "key": key, "asset_name": asset_name}
        super().__init__(serialized_fields=fields, poll_interval=poll_interval, **kwargs)
        self.bucket_name = bucket_name
        self.key = key

    def hook(self) -> S3Hook:
        """Build the hook this trigger looks with."""
        return S3Hook(**self.hook_parameters)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for ever."""
        address = f"s3://{self.bucket_name}/{self.key}"
        outage = Outage(self.poll_interval)
        recalled = False
        seen: str | None = None
        known: str | None = None
        noted: str | None = None
        while True:
            pause = self.poll_interval
            try:
                if not recalled:
                    known = noted = await self._recall()
                    recalled = True
                if known != noted:
                    # Only now: a triggerer that ends before Airflow has stored the event must notice the change again
                    # (apache/airflow#71391). A second event is harmless.
                    await self._remember(known)
                    noted = known
                content = await self._look()
                outage.over()
            except Exception as error:
                # Whatever it is, someone may mend it, and nobody starts a watcher again.
                self.log.warning("%s can't be watched now: %s", address, error)
                try:
                    pause = outage.pause(error)
                except Exception:
                    pause = max(self.poll_interval, LONGEST_PAUSE_SECONDS)
            else:
                is_settled, seen = content == seen, content
                if is_settled and content != known:
                    is_news = known is not None and content != ABSENT
                    known = content
                    if is_news:
                        self.log.info("%s has changed.", address)
                        yield TriggerEvent({"status": "success", "uri": address})
            await asyncio.sleep(pause)

    async def _look(self) -> str:
        """Return what tells the content from any other."""
        async with await self.hook().get_async_conn() as client:
            if self.key and not self.key.endswith("/"):
                try:
                    head = await client.head_object(Bucket=self.bucket_name, Key=self.key)
                    return f"{head['ETag']} {head['ContentLength']}"
                except ClientError as error:
                    if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                        raise
            prefix = f"{self.key.rstrip('/')}/" if self.key else ""
            digest, count = hashlib.sha256(), 0
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name, Prefix=prefix)
            async for page in pages:
                for item in page.get("Contents", []):
                    digest.update(f"{item['Key']}\0{item['ETag']}\0{item['Size']}\n".encode())
                    count += 1
            return digest.hexdigest() if count else ABSENT

    async def _recall(self) -> str | None:
        if self.asset_state_store is None:  # it is an asset's watcher that has one
            return None
        known = await self.asset_state_store.aget(self._state_key)
        return str(known) if known is not None else None

    async def _remember(self, content: str | None) -> None:
        if self.asset_state_store is not None:
            await self.asset_state_store.aset(self._state_key, content)

    @property
    def _state_key(self) -> str:
        # Another address under the same asset is another thing to watch.
        return f"{STATE_KEY}:{self.bucket_name}/{self.key}"
