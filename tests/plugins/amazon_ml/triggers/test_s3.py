"""The trigger for new objects, against the S3 of local AWS."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.triggers.base import TriggerEvent
from amazon_ml.triggers.s3 import S3ContentChangedTrigger
from botocore.exceptions import EndpointConnectionError

POLL = 0.1
SOON, QUIET = 10.0, 1.0


class Store:
    """The state store of an asset, which outlives triggerers."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.content.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.content[key] = value


class Bucket:
    def __init__(self, s3: Any) -> None:
        self.name = f"photos-{uuid.uuid4().hex[:8]}"
        self._s3 = s3
        s3.create_bucket(Bucket=self.name)

    def put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=self.name, Key=key)


@pytest.fixture
def bucket(aws: Any) -> Bucket:
    return Bucket(aws.client("s3"))


def watching(
    bucket: Bucket, key: str, store: Store, story: Callable[[Callable[..., Any]], Coroutine[Any, Any, None]]
) -> None:
    """Run a story beside a watcher that has looked once.

    What the story is given waits for the next event, or sees that none comes.
    """

    async def both() -> None:
        trigger = S3ContentChangedTrigger(bucket_name=bucket.name, key=key, poll_interval=POLL)
        trigger.asset_state_store = store  # type: ignore[assignment]
        events: asyncio.Queue[TriggerEvent] = asyncio.Queue()

        async def watch(run: AsyncIterator[TriggerEvent]) -> None:
            async for event in run:
                events.put_nowait(event)

        async def event(within: float = SOON) -> Any:
            try:
                return (await asyncio.wait_for(events.get(), within)).payload
            except TimeoutError:
                return None

        task = asyncio.create_task(watch(trigger.run()))

        try:
            for _ in range(round(SOON / POLL)):
                if not store.content:
                    await asyncio.sleep(POLL)
            assert store.content, "it has not looked yet"
            await story(event)
        finally:
            task.cancel()

    asyncio.run(both())


class TestS3ContentChangedTrigger:
    def test_it_is_the_same_after_the_triggerer_was_restarted(self) -> None:
        arguments = {
            "bucket_name": "photos",
            "key": "birds.zip",
            "poll_interval": 60,
            "aws_conn_id": "mine",
            "region_name": "eu-west-1",
            "verify": False,
            "botocore_config": {"read_timeout": 10},
        }
        path = "amazon_ml.triggers.s3.S3ContentChangedTrigger"
        assert S3ContentChangedTrigger(**arguments).serialize() == (path, arguments)

    @pytest.mark.parametrize(
        ("key", "first", "second"),
        [
            pytest.param("birds.zip", "birds.zip", "birds.zip", id="an object"),
            pytest.param("birds", "birds/train/a.jpg", "birds/train/b.jpg", id="what lies below a key"),
            pytest.param("birds/", "birds/train/a.jpg", "birds/train/b.jpg", id="a prefix"),
            pytest.param("", "train/a.jpg", "train/b.jpg", id="a whole bucket"),
        ],
    )
    def test_what_is_there_is_no_news_and_what_comes_is(
        self, bucket: Bucket, key: str, first: str, second: str
    ) -> None:
        bucket.put(first, b"one")

        async def story(event: Callable[..., Any]) -> None:
            assert await event(within=QUIET) is None
            await asyncio.to_thread(bucket.put, second, b"another")
            assert await event() == {"status": "success", "uri": f"s3://{bucket.name}/{key}"}
            assert await event(within=QUIET) is None

        watching(bucket, key, Store(), story)

    def test_a_first_upload_is_news_and_a_deletion_is_not(self, bucket: Bucket) -> None:
        async def story(event: Callable[..., Any]) -> None:
            assert await event(within=QUIET) is None
            await asyncio.to_thread(bucket.put, "birds.zip", b"one")
            assert await event()
            await asyncio.to_thread(bucket.delete, "birds.zip")
            assert await event(within=QUIET) is None

        watching(bucket, "birds.zip", Store(), story)

    def test_what_came_while_no_triggerer_ran_is_told_by_the_next(self, bucket: Bucket) -> None:
        bucket.put("birds.zip", b"one")
        store = Store()

        async def no_news(event: Callable[..., Any]) -> None:
            assert await event(within=QUIET) is None

        async def news(event: Callable[..., Any]) -> None:
            assert await event()

        watching(bucket, "birds.zip", store, no_news)
        bucket.put("birds.zip", b"another")
        watching(bucket, "birds.zip", store, news)
        watching(bucket, "birds.zip", store, no_news)

    def test_an_upload_that_goes_on_is_told_once_at_its_end(self, bucket: Bucket) -> None:
        bucket.put("birds/0.jpg", b"one")

        async def story(event: Callable[..., Any]) -> None:
            assert await event(within=QUIET) is None
            for number in range(20):
                await asyncio.to_thread(bucket.put, f"birds/{number}.jpg", b"another")
                await asyncio.sleep(POLL / 2)
            assert await event()
            assert await event(within=QUIET) is None

        watching(bucket, "birds/", Store(), story)

    def test_it_goes_on_after_any_error(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        connect, refusals = S3Hook.get_async_conn, [EndpointConnectionError(endpoint_url="https://s3")] * 3

        async def get_async_conn(hook: S3Hook) -> Any:
            if refusals:
                raise refusals.pop()
            return await connect(hook)

        monkeypatch.setattr(S3Hook, "get_async_conn", get_async_conn)

        async def story(event: Callable[..., Any]) -> None:
            await asyncio.to_thread(bucket.put, "birds.zip", b"one")
            assert await event()

        watching(bucket, "birds.zip", Store(), story)
        assert not refusals
