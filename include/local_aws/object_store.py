"""Moves folders between S3 and this machine, with S3's meaning of a prefix."""

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from include.local_aws.config import Config
from include.local_aws.principals import Principal

if not hasattr(tarfile, "data_filter"):  # before Python 3.11.4; Debian 12 has 3.11.2
    from backports import tarfile  # type: ignore[no-redef]

_THREADS = 8


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an address ``s3://bucket/key``.

    :raises ValueError: when it is not such an address
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ValueError(f"{uri!r} is not an S3 address such as s3://bucket/key.")
    return bucket, key


def download(config: Config, uri: str, folder: Path) -> int:
    """Copy every object whose address begins with uri into a folder; returns how many there were.

    As in SageMaker, names are relative to uri when it stands for a folder, else to its last slash.

    :raises ValueError: when a key would leave the folder
    """
    bucket, prefix = split_uri(uri)
    s3 = config.client("s3", Principal.JOB)
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(key: str) -> None:
        target = folder / _relative(key, prefix)
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"s3://{bucket}/{key} would be written outside its folder.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(s3.get_object(Bucket=bucket, Key=key)["Body"], file)

    with ThreadPoolExecutor(_THREADS) as pool:
        return sum(1 for _ in pool.map(fetch, _keys(s3, bucket, prefix)))


def exists(config: Config, uri: str, *, is_prefix: bool = False) -> bool:
    """Return whether there is an object at uri, or, of a prefix, any object whose address begins with it."""
    bucket, key = split_uri(uri)
    s3 = config.client("s3", Principal.JOB)
    try:
        if is_prefix:
            return next(_keys(s3, bucket, key), None) is not None
        s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, ParamValidationError):
        return False
    return True


def upload(config: Config, folder: Path, uri: str) -> int:
    """Copy every file below a folder to uri; returns how many there were."""
    bucket, prefix = split_uri(uri)
    s3 = config.client("s3", Principal.JOB)
    start = prefix.rstrip("/") + "/" if prefix else ""

    def send(path: Path) -> None:
        s3.upload_file(str(path), bucket, start + path.relative_to(folder).as_posix())

    with ThreadPoolExecutor(_THREADS) as pool:
        return sum(1 for _ in pool.map(send, (path for path in folder.rglob("*") if path.is_file())))


def upload_archive(config: Config, folder: Path, uri: str) -> None:
    """Copy what is in a folder to uri as one tar.gz, as ``model.tar.gz`` is laid out."""
    bucket, key = split_uri(uri)
    with tempfile.TemporaryFile(dir=folder.parent) as file:
        # Weights hardly shrink, so compressing them would only cost time.
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=0) as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, arcname=path.name)
        file.seek(0)
        config.client("s3", Principal.JOB).upload_fileobj(file, bucket, key)


def extract_archive(config: Config, uri: str, folder: Path) -> None:
    """Unpack the tar.gz at uri into a folder; what would leave the folder is refused.

    :raises ValueError: when it is no archive, is damaged or has an unsafe member
    """
    bucket, key = split_uri(uri)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder.parent) as file:
        shutil.copyfileobj(
            config.client("s3", Principal.JOB).get_object(Bucket=bucket, Key=key)["Body"], file
        )
        file.seek(0)
        try:
            with tarfile.open(fileobj=file) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(f"{uri} can't be unpacked: {error}") from error


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            if not item["Key"].endswith("/"):
                yield item["Key"]


def _relative(key: str, prefix: str) -> str:
    rest = key[len(prefix) :]
    if prefix.endswith("/") or rest.startswith("/") or not prefix:
        return rest.lstrip("/")
    return key.rpartition("/")[2] if not rest else key[prefix.rfind("/") + 1 :]
