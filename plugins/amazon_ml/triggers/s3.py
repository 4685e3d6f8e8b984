"""Watch S3 for changed objects."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from botocore.exceptions import ClientError

from amazon_ml.transient_errors import MAX_DELAY_SECONDS, TransientBackoff
from amazon_ml.triggers.base import AwsPollingTrigger

STATE_KEY = "amazon_ml.s3_content"
ABSENT = "absent"


class S3ContentChangedTrigger(AwsPollingTrigger, BaseEventTrigger):
    """
    Fire whenever an object, or the set of objects below a prefix, has changed.

    The trigger is for the watcher of an asset and never ends. The last content is stored in the asset's state store,
    so that a change while no triggerer was running is also noticed. The content at the first poll is not a change, and
    neither is a deletion. The content must be the same in two polls, so that an upload can finish.
    The other arguments are those of AwsPollingTrigger.

    :param bucket_name: The name of the bucket.
    :param key: The key of the object. If no object has this key, or the key ends with a slash, all objects below it.
    :param asset_name: The name of the watched asset. Airflow uses one trigger for all assets whose watchers have
        equal arguments, and then rejects their state store as ambiguous (apache/airflow#71460).
    :param poll_interval: The number of seconds between two polls.
    """

    def __init__(
        self, *, bucket_name: str, key: str, asset_name: str, poll_interval: float = 300, **kwargs: Any
    ) -> None:
        fields = {"bucket_name": bucket_name, "key": key, "asset_name": asset_name}
        super().__init__(serialized_fields=fields, poll_interval=poll_interval, **kwargs)
        self.bucket_name = bucket_name
        self.key = key

    def hook(self) -> S3Hook:
        """Return the hook that reads S3."""
        return S3Hook(**self.hook_parameters)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll forever, and fire at each change."""
        uri = f"s3://{self.bucket_name}/{self.key}"
        backoff = TransientBackoff(self.poll_interval)
        recalled = False
        seen: str | None = None
        known: str | None = None
        noted: str | None = None
        client: Any = None
        async with AsyncExitStack() as clients:
            while True:
                pause = self.poll_interval
                try:
                    if not recalled:
                        known = noted = await self._recall()
                        recalled = True
                    if known != noted:
                        # Stored only at the poll after the event: a triggerer that ends before Airflow has stored the
                        # event must notice the change again (apache/airflow#71391). A second event is harmless.
                        await self._remember(known)
                        noted = known
                    if client is None:
                        client = await clients.enter_async_context(await self.hook().get_async_conn())
                    content = await self._fingerprint(client)
                    backoff.reset()
                except Exception as error:
                    # A user may fix any error, and Airflow does not restart a watcher.
                    self.log.warning("%s can't be watched now: %s", uri, error)
                    # The next client has new connections and, if necessary, new credentials. To close a broken one may
                    # fail too, which would end the watcher.
                    client = None
                    with suppress(Exception):
                        await clients.aclose()
                    try:
                        pause = backoff.next_delay(error)
                    except Exception:
                        pause = max(self.poll_interval, MAX_DELAY_SECONDS)
                else:
                    is_settled, seen = content == seen, content
                    if is_settled and content != known:
                        is_change = known is not None and content != ABSENT
                        known = content
                        if is_change:
                            self.log.info("%s has changed.", uri)
                            yield TriggerEvent({"status": "success", "uri": uri})
                await asyncio.sleep(pause)

    async def _fingerprint(self, client: Any) -> str:
        """Return a fingerprint of the content."""
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
        if self.asset_state_store is None:  # only the watcher of an asset has a state store
            return None
        known = await self.asset_state_store.aget(self._state_key)
        return str(known) if known is not None else None

    async def _remember(self, content: str | None) -> None:
        if self.asset_state_store is not None:
            await self.asset_state_store.aset(self._state_key, content)

    @property
    def _state_key(self) -> str:
        # The location of an asset may change. Its content is then not comparable.
        return f"{STATE_KEY}:{self.bucket_name}/{self.key}"
