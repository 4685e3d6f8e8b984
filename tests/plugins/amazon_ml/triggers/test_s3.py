"""The trigger for changed objects, against the S3 of local AWS."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.triggers.base import TriggerEvent
from amazon_ml.triggers import s3 as triggers_s3
from amazon_ml.triggers.s3 import S3ContentChangedTrigger
from botocore.exceptions import EndpointConnectionError


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
        self.create()

    def create(self) -> None:
        self._s3.create_bucket(Bucket=self.name)

    def remove(self) -> None:
        self._s3.delete_bucket(Bucket=self.name)

    def put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=self.name, Key=key)


@pytest.fixture
def bucket(aws: Any) -> Bucket:
    return Bucket(aws.client("s3"))


class Watcher:
    """A watcher that polls on request of the test instead of after a time."""

    def __init__(self) -> None:
        self.pausing = asyncio.Event()
        self.go_on = asyncio.Event()
        self.events: list[dict[str, Any]] = []

    async def sleep(self, seconds: float) -> None:
        """Replace asyncio.sleep: pause until the next poll."""
        self.pausing.set()
        await self.go_on.wait()
        self.go_on.clear()

    async def watch(self, events: AsyncIterator[TriggerEvent]) -> None:
        async for event in events:
            self.events.append(event.payload)

    async def poll(self, times: int = 1) -> list[dict[str, Any]]:
        """Let the watcher poll, and return its events."""
        for _ in range(times):
            self.pausing.clear()
            self.go_on.set()
            await self.pausing.wait()
        events, self.events = self.events, []
        return events


def watching(
    bucket: Bucket, key: str, store: Store, scenario: Callable[[Watcher], Coroutine[Any, Any, None]]
) -> None:
    """Run a scenario with a watcher that has polled twice and knows the initial content."""

    async def both() -> None:
        trigger = S3ContentChangedTrigger(bucket_name=bucket.name, key=key, asset_name="birds.data")
        trigger.asset_state_store = store  # type: ignore[assignment]
        watcher = Watcher()

        async def run_scenario() -> None:
            await watcher.pausing.wait()
            if not store.content:
                assert await watcher.poll(2) == []
                assert store.content
            await scenario(watcher)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(triggers_s3, "asyncio", SimpleNamespace(sleep=watcher.sleep))
            tasks = [asyncio.create_task(run_scenario()), asyncio.create_task(watcher.watch(trigger.run()))]
            # The watcher ends only with an error, after which a scenario would wait forever.
            ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            for task in ended:
                task.result()

    asyncio.run(both())


class TestS3ContentChangedTrigger:
    def test_serialization(self) -> None:
        arguments = {
            "bucket_name": "photos",
            "key": "birds.zip",
            "asset_name": "birds.data",
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
    def test_initial_content_is_no_change_and_new_content_is(
        self, bucket: Bucket, key: str, first: str, second: str
    ) -> None:
        bucket.put(first, b"one")

        async def scenario(watcher: Watcher) -> None:
            assert await watcher.poll() == []
            await asyncio.to_thread(bucket.put, second, b"another")
            assert await watcher.poll(2) == [{"status": "success", "uri": f"s3://{bucket.name}/{key}"}]
            assert await watcher.poll(2) == []

        watching(bucket, key, Store(), scenario)

    def test_first_upload_is_a_change_and_deletion_is_not(self, bucket: Bucket) -> None:
        async def scenario(watcher: Watcher) -> None:
            await asyncio.to_thread(bucket.put, "birds.zip", b"one")
            assert len(await watcher.poll(2)) == 1
            await asyncio.to_thread(bucket.delete, "birds.zip")
            assert await watcher.poll(3) == []

        watching(bucket, "birds.zip", Store(), scenario)

    def test_change_without_a_running_triggerer_is_noticed_later(self, bucket: Bucket) -> None:
        bucket.put("birds.zip", b"one")
        store = Store()

        async def no_news(watcher: Watcher) -> None:
            assert await watcher.poll(2) == []

        async def news(watcher: Watcher) -> None:
            assert len(await watcher.poll(2)) == 1

        watching(bucket, "birds.zip", store, no_news)
        bucket.put("birds.zip", b"another")
        watching(bucket, "birds.zip", store, news)
        watching(bucket, "birds.zip", store, no_news)

    def test_new_content_is_stored_only_at_the_next_poll(self, bucket: Bucket) -> None:
        bucket.put("birds.zip", b"one")
        store = Store()

        async def lost(watcher: Watcher) -> None:
            before = dict(store.content)
            await asyncio.to_thread(bucket.put, "birds.zip", b"another")
            assert len(await watcher.poll(2)) == 1
            assert store.content == before  # a triggerer that ends now may lose the event

        async def told_again(watcher: Watcher) -> None:
            assert len(await watcher.poll()) == 1
            assert await watcher.poll(2) == []

        watching(bucket, "birds.zip", store, lost)
        watching(bucket, "birds.zip", store, told_again)

    def test_content_that_changes_back_after_an_event_fires_again(self, bucket: Bucket) -> None:
        bucket.put("birds.zip", b"one")

        async def scenario(watcher: Watcher) -> None:
            for body in (b"another", b"one"):
                await asyncio.to_thread(bucket.put, "birds.zip", body)
                assert len(await watcher.poll(2)) == 1

        watching(bucket, "birds.zip", Store(), scenario)

    def test_state_store_is_retried(self, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
        store = Store()
        refusals = [ValueError("the asset is ambiguous")]

        async def aget(key: str, default: Any = None) -> Any:
            if refusals:
                raise refusals.pop()
            return store.content.get(key, default)

        store.aget = aget  # type: ignore[method-assign]
        store.content["anything"] = "else"

        async def scenario(watcher: Watcher) -> None:
            assert "can't be watched now: the asset is ambiguous" in capsys.readouterr().out
            assert await watcher.poll(3) == []
            await asyncio.to_thread(bucket.put, "birds.zip", b"one")
            assert len(await watcher.poll(2)) == 1

        watching(bucket, "birds.zip", store, scenario)

    def test_long_upload_fires_once_at_its_end(self, bucket: Bucket) -> None:
        bucket.put("birds/0.jpg", b"one")

        async def scenario(watcher: Watcher) -> None:
            for number in range(5):
                await asyncio.to_thread(bucket.put, f"birds/{number}.jpg", b"another")
                assert await watcher.poll() == []
            assert len(await watcher.poll()) == 1
            assert await watcher.poll(2) == []

        watching(bucket, "birds/", Store(), scenario)

    def test_polling_continues_after_any_error(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client is used for all polls until one fails; the next poll has a new client."""
        connect, connected, refusals = S3Hook.get_async_conn, [], list[EndpointConnectionError]()

        async def get_async_conn(hook: S3Hook) -> Any:
            if refusals:
                raise refusals.pop()
            connected.append(await connect(hook))
            return connected[-1]

        monkeypatch.setattr(S3Hook, "get_async_conn", get_async_conn)

        async def scenario(watcher: Watcher) -> None:
            assert len(connected) == 1
            await asyncio.to_thread(bucket.remove)
            assert await watcher.poll() == []
            refusals.extend([EndpointConnectionError(endpoint_url="https://s3")] * 2)
            await asyncio.to_thread(bucket.create)
            await asyncio.to_thread(bucket.put, "birds.zip", b"one")
            assert await watcher.poll(2) == []
            assert not refusals
            assert len(await watcher.poll(2)) == 1
            assert len(connected) == 2

        watching(bucket, "birds.zip", Store(), scenario)
