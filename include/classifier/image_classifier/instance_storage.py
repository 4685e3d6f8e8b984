"""Brings folders from S3 to an instance and back, as SageMaker does for the instances of its jobs."""

import json
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

THREADS = 16
SYNC_SECONDS = 30.0


class InstanceStorage:
    """S3, by addresses such as ``s3://bucket/prefix/``; every method may raise what boto3 raises."""

    def __init__(self) -> None:
        # A connection for each thread, and some for the parts of large files.
        self._s3: Any = boto3.client("s3", config=Config(max_pool_connections=2 * THREADS))

    def download(self, uri: str, folder: Path) -> int:
        """Copy every object below a prefix, which ends with a slash, into a folder; return how many there were.

        :raises ValueError: a key would leave the folder.
        """
        bucket, prefix = _split(uri)
        folder.mkdir(parents=True, exist_ok=True)

        def fetch(key: str) -> None:
            target = folder / key.removeprefix(prefix)
            if not target.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"s3://{bucket}/{key} would be written outside its folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._s3.download_file(bucket, key, str(target))

        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(1 for _ in pool.map(fetch, (key for key in keys if not key.endswith("/"))))

    def upload(self, path: Path, uri: str) -> None:
        """Copy a file, as it was when this began if another file is renamed to its place."""
        with path.open("rb") as file:
            self._s3.upload_fileobj(file, *_split(uri))

    def upload_archive(self, folder: Path, uri: str) -> None:
        """Copy what is in a folder as one ``tar.gz``, laid out as SageMaker does."""
        with tempfile.TemporaryFile(dir=folder.parent) as file:
            # Weights hardly shrink, so the highest level would only cost time.
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
                for path in sorted(folder.iterdir()):
                    archive.add(path, arcname=path.name)
            file.seek(0)
            self._s3.upload_fileobj(file, *_split(uri))

    def put_json(self, content: dict[str, Any], uri: str) -> None:
        """Write an object."""
        bucket, key = _split(uri)
        body = json.dumps(content, indent=2).encode()
        self._s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")

    @contextmanager
    def kept(self, folder: Path, uri: str) -> Iterator[None]:
        """Fill a folder from a prefix, send what changes in it while the block runs, and once more after it."""
        self.download(uri, folder)
        sent = _states(folder)
        ended = threading.Event()

        def send() -> None:
            for path, state in _states(folder).items():
                # What is being written is renamed when it is whole.
                if sent.get(path) != state and not path.name.endswith(".partial"):
                    self.upload(path, uri + path.relative_to(folder).as_posix())
                    sent[path] = state

        def send_until_ended() -> None:
            while not ended.wait(SYNC_SECONDS):
                try:
                    send()
                except Exception as error:  # the next time, or the last one, may do better
                    print(f"The checkpoint is not in {uri} yet: {error}", flush=True)

        sender = threading.Thread(target=send_until_ended, daemon=True)
        sender.start()
        try:
            yield
        finally:
            ended.set()
            sender.join()
        send()


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _states(folder: Path) -> dict[Path, tuple[int, int]]:
    """Time of change in nanoseconds and size in bytes of each file."""
    found = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # renamed in the meantime
            continue
        if path.is_file():
            found[path] = (status.st_mtime_ns, status.st_size)
    return found
