"""Sends many small objects to S3 from threads: by obstore where it can be had, else by boto3."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.pipeline.data.s3_members import CopySource
from include.pipeline.data.upload import Put, UploadError, put_by_boto3, refused

# At 30 ms for an answer, 16 threads send 470 small objects a second and 64 send 1,460; near by, it is all one.
THREADS = 64
MAX_OBJECTS = 1024
MAX_BYTES = 64 << 20
# What a thread gets at a time: to wake one for each small object costs more than to send it.
BATCH_OBJECTS = 16
BATCH_BYTES = 1 << 20


@contextmanager
def open_sender(s3: Any, bucket: str, credentials: Any = None) -> Iterator[Sender]:
    """Open a sender; leaving it waits until all objects are there.

    :param s3: a boto3 client, which copies; it puts too where obstore can't.
    :param credentials: botocore's credentials, for obstore. They may be of the kind that is refreshed.
    :raises UploadError: from the sender's methods or at the end, if S3 did not take an object.
    """
    flight = Flight()
    put = _put_by_obstore(s3, bucket, credentials) or put_by_boto3(s3, bucket)
    with ThreadPoolExecutor(THREADS) as pool:
        sender = Sender(flight, pool, put, s3, bucket)
        try:
            yield sender
            sender.hand_over()
        except BaseException:
            flight.fail(UploadError("Sending was given up."))
            raise
        finally:
            flight.wait()
        flight.check()


class Flight:
    """What is on its way: so much and no more, and what went wrong first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._objects = self._bytes = 0
        self._error: Exception | None = None

    def begin(self, objects: int, size: int) -> None:
        """Wait until there is room for so many objects of so many bytes in all.

        :raises UploadError: if another one failed.
        """
        with self._changed:
            if self._objects and (self._objects + objects > MAX_OBJECTS or self._bytes + size > MAX_BYTES):
                # Till half has landed, so as not to be woken by each batch.
                self._changed.wait_for(self._is_half_empty)
            self.check()
            self._objects += objects
            self._bytes += size

    def end(self, objects: int, size: int, error: Exception | None = None) -> None:
        with self._changed:
            self._objects -= objects
            self._bytes -= size
            self._error = self._error or error
            if self._is_half_empty():
                self._changed.notify_all()

    def _is_half_empty(self) -> bool:
        return self._objects <= MAX_OBJECTS // 2 and self._bytes <= MAX_BYTES // 2

    def fail(self, error: Exception) -> None:
        """Have what has not begun yet given up."""
        with self._changed:
            self._error = self._error or error

    def check(self) -> None:
        if self._error:
            raise self._error

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._objects)


class Sender:
    """Brings objects to one bucket, from a pool of threads; its methods return before they are there."""

    def __init__(self, flight: Flight, pool: ThreadPoolExecutor, put: Put, s3: Any, bucket: str) -> None:
        self._flight, self._pool, self._put, self._s3, self._bucket = flight, pool, put, s3, bucket
        self._batch: list[tuple[str, Callable[[], Any]]] = []
        self._batch_bytes = 0

    def put(self, key: str, body: bytes, sha256: str) -> None:
        """Send an object; S3 compares it with its SHA-256, given in hexadecimal digits."""
        self._add(key, len(body), lambda: self._put(key, body, sha256))

    def copy(self, key: str, source: CopySource) -> None:
        """Have S3 copy an object, if it is still the one with that ETag."""
        self._add(
            key,
            0,
            lambda: self._s3.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                # Without the source's tags, which it would take further permissions to read and to write.
                TaggingDirective="REPLACE",
            ),
        )

    def hand_over(self) -> None:
        """Give the pool what has been gathered.

        :raises UploadError: if an object before it failed.
        """
        batch, size = self._batch, self._batch_bytes
        self._batch, self._batch_bytes = [], 0
        if batch:
            self._flight.begin(len(batch), size)
            self._pool.submit(self._send, batch, size)

    def _add(self, key: str, size: int, send: Callable[[], Any]) -> None:
        self._batch.append((key, send))
        self._batch_bytes += size
        if len(self._batch) >= BATCH_OBJECTS or self._batch_bytes >= BATCH_BYTES:
            self.hand_over()

    def _send(self, batch: list[tuple[str, Callable[[], Any]]], size: int) -> None:
        error: Exception | None = None
        for key, send in batch:
            try:
                self._flight.check()
                send()
            except ClientError as answer:
                problem = answer.response["Error"]
                error = refused(key, problem["Code"], problem.get("Message", ""))
            except BotoCoreError as fault:
                error = UploadError(f"S3 did not take {key}: {fault}")
            except Exception as fault:  # whatever it is, it must not be lost in a thread
                error = fault
            if error:
                break
        self._flight.end(len(batch), size, error)


def _put_by_obstore(s3: Any, bucket: str, credentials: Any) -> Put | None:
    if credentials is None:
        return None
    try:
        from include.pipeline.data.upload_by_obstore import put_by_obstore
    except ImportError:
        return None
    return put_by_obstore(s3, bucket, credentials)
