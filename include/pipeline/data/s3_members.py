"""A data set that lies as single objects below a prefix of a bucket."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from include.pipeline.data.errors import DatasetError
from include.pipeline.data.member_names import meant_names

THREADS = 16
WAITING_BYTES = 64 << 20


class CopySource(NamedTuple):
    """An object that S3 can copy, and the ETag it must still have."""

    bucket: str
    key: str
    etag: str


class S3Members:
    """The objects below a prefix; see :class:`include.pipeline.data.sources.Members`."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        listed = list_objects(s3, bucket, prefix)
        meant, self.notes = meant_names(list(listed))
        self._objects = dict(zip(meant, listed.values(), strict=True))
        if len(self._objects) < len(listed):
            raise DatasetError(
                f"Below s3://{bucket}/{prefix} there are keys that differ only in the spelling of their letters "
                "(NFC and NFD). Delete one of each."
            )
        self._written = {path: key for path, key in zip(meant, listed, strict=True) if path != key}

    def files(self) -> dict[str, int]:
        return {path: size for path, (size, _) in self._objects.items()}

    def folders(self) -> list[str]:
        return []

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        with ThreadPoolExecutor(THREADS) as pool:
            waiting: deque[tuple[str, Future[bytes]]] = deque()
            waiting_bytes = 0
            for path in paths:
                waiting.append((path, pool.submit(self._read, path)))
                waiting_bytes += self._objects[path][0]
                while waiting_bytes > WAITING_BYTES or len(waiting) > 4 * THREADS:
                    done, content = waiting.popleft()
                    waiting_bytes -= self._objects[done][0]
                    yield done, content.result()
            while waiting:
                done, content = waiting.popleft()
                yield done, content.result()

    def copy_source(self, path: str) -> CopySource | None:
        return CopySource(self._bucket, self._prefix + self._written.get(path, path), self._objects[path][1])

    def _read(self, path: str) -> bytes:
        key = self._prefix + self._written.get(path, path)
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, IfMatch=self._objects[path][1])
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "PreconditionFailed", "412"):
                raise DatasetError(
                    f"s3://{self._bucket}/{key} changed while it was read. Start the run again."
                ) from error
            raise
        content: bytes = answer["Body"].read()
        return content


def list_objects(s3: Any, bucket: str, prefix: str) -> dict[str, tuple[int, str]]:
    """Size and ETag of every object below a prefix, by the rest of its key."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        item["Key"].removeprefix(prefix): (item["Size"], item["ETag"])
        for page in pages
        for item in page.get("Contents", [])
        if not item["Key"].endswith("/")
    }
