"""Sends many small objects to S3: by the AWS Common Runtime where it can be had, else by boto3 from threads."""

from __future__ import annotations

import base64
import mimetypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from include.pipeline.errors import PermanentError
from include.pipeline.s3_members import CopySource

THREADS = 16
MAX_OBJECTS = 256
MAX_BYTES = 64 << 20
PERMANENT = {
    "AccessDenied",
    "NoSuchBucket",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AllAccessDisabled",
}


class UploadError(Exception):
    """S3 did not take an object."""


class UploadRefusedError(UploadError, PermanentError):
    """S3 did not take an object, and won't at the next try either."""


class Sender(Protocol):
    """Brings objects to one bucket; returns before they are there."""

    def put(self, key: str, body: bytes, sha256: str) -> None:
        """Send an object; S3 compares it with its SHA-256, given in hexadecimal digits."""

    def copy(self, key: str, source: CopySource) -> None:
        """Have S3 copy an object, if it is still the one with that ETag."""


@contextmanager
def open_sender(s3: Any, bucket: str, credentials: Any = None) -> Iterator[Sender]:
    """Open a sender; leaving it waits until all objects are there.

    :param s3: a boto3 client, which sends itself where the Common Runtime can't.
    :param credentials: botocore's credentials, for the Common Runtime. They may be of the kind that is refreshed.
    :raises UploadError: from the sender's methods or at the end, if S3 did not take an object.
    """
    flight = Flight()
    with ThreadPoolExecutor(THREADS) as pool:
        sender = _open_runtime(flight, pool, s3, bucket, credentials) or Boto3Sender(flight, pool, s3, bucket)
        try:
            yield sender
        except BaseException:
            flight.fail(UploadError("Sending was given up."))
            raise
        finally:
            flight.wait()
            sender.close()
        flight.check()


def content_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"


def refused(key: str, code: str, message: str) -> UploadError:
    """The error for an answer of S3."""
    kind = UploadRefusedError if code in PERMANENT else UploadError
    return kind(f"S3 did not take {key}: {code}: {message}")


class Flight:
    """What is on its way: so much and no more, and what went wrong first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._objects = self._bytes = 0
        self._error: Exception | None = None

    def begin(self, size: int) -> None:
        """Wait until there is room for an object.

        :raises UploadError: if another one failed.
        """
        with self._changed:
            if self._objects >= MAX_OBJECTS or (self._objects and self._bytes + size > MAX_BYTES):
                # Till half has landed: to be woken by each object costs more than to send it.
                self._changed.wait_for(self._is_half_empty)
            self.check()
            self._objects += 1
            self._bytes += size

    def end(self, size: int, error: Exception | None = None) -> None:
        with self._changed:
            self._objects -= 1
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


class Boto3Sender:
    """Sends from a pool of threads."""

    def __init__(self, flight: Flight, pool: ThreadPoolExecutor, s3: Any, bucket: str) -> None:
        self._flight, self._pool, self._s3, self._bucket = flight, pool, s3, bucket

    def put(self, key: str, body: bytes, sha256: str) -> None:
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        self._submit(
            key,
            len(body),
            lambda: self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType=content_type(key),
                ChecksumSHA256=checksum,
            ),
        )

    def copy(self, key: str, source: CopySource) -> None:
        self._submit(
            key,
            0,
            lambda: self._s3.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
            ),
        )

    def close(self) -> None:
        """Nothing to close: the pool and the client are the caller's."""

    def _submit(self, key: str, size: int, send: Callable[[], Any]) -> None:
        def work() -> None:
            error: Exception | None = None
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
            self._flight.end(size, error)

        self._flight.begin(size)
        self._pool.submit(work)


def _open_runtime(
    flight: Flight, pool: ThreadPoolExecutor, s3: Any, bucket: str, credentials: Any
) -> Any | None:
    if credentials is None:
        return None
    try:
        from include.pipeline.uploads_runtime import RuntimeSender
    except ImportError:
        return None
    return RuntimeSender(flight, pool, s3, bucket, credentials)
