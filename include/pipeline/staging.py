"""Stages a data set in S3: checked first, named by its content, and never sent twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import ClientError

from include.pipeline.dataset import (
    IMAGE_SUFFIXES,
    SPLITS,
    DatasetError,
    ImageFile,
    check_image,
    describe,
    locate_root,
)
from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.settings import Project
from include.pipeline.sources import Members, is_ignored, open_source

THREADS = 16
CLIENT_CONFIG = Config(max_pool_connections=THREADS, retries={"mode": "standard", "max_attempts": 5})
"""For the S3 client that is passed in, so that each thread has a connection."""
PROGRESS_SECONDS = 5

Item = TypeVar("Item")
Result = TypeVar("Result")


def stage(
    project: Project, source: str, bucket: str, s3: Any, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Check a data set and put it to ``s3://<bucket>/<project>/data/<fingerprint>/``.

    Nothing is sent before all of it was found right. Objects that are there already are not sent again; the
    manifest comes last, so that a prefix with a manifest is complete.

    :return: ``uri``, ``fingerprint``, ``classes``, ``counts`` (images per split) and ``sent`` (objects).
    :raises DatasetError: see :mod:`include.pipeline.dataset` and :mod:`include.pipeline.sources`.
    """
    with open_source(source, s3, progress) as members:
        root = locate_root(path for path in members.files() + members.folders() if not is_ignored(path))
        places = _places(members.files(), root)
        images = _check(members, places, progress)
        description = describe(images, _class_folders(members.folders(), root), project.data.classes)
        uri = f"{project_uri(bucket, project)}/data/{description.fingerprint}"
        sent = 0
        if not _exists(s3, f"{uri}/manifest.json"):
            present = _sizes(s3, uri)
            absent = [image for image in images if present.get(image.path) != image.size]
            progress(f"{len(images) - len(absent)} of {len(images)} images are in S3 already.")
            sent = _send(members, places, absent, uri, s3, progress)
            manifest = {
                "fingerprint": description.fingerprint,
                "classes": description.classes,
                "counts": description.counts,
                "source": source.partition("?")[0],
                "staged_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "files": [vars(image) for image in images],
            }
            target, key = split_s3_uri(f"{uri}/manifest.json")
            s3.put_object(
                Bucket=target, Key=key, Body=json.dumps(manifest).encode(), ContentType="application/json"
            )
    return {
        "uri": uri,
        "fingerprint": description.fingerprint,
        "classes": description.classes,
        "counts": description.counts,
        "sent": sent,
    }


def read_manifest(uri: str, s3: Any) -> dict[str, Any]:
    """The manifest of a staged data set."""
    bucket, key = split_s3_uri(f"{uri}/manifest.json")
    manifest: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return manifest


def _places(files: Iterable[str], root: str) -> dict[str, str]:
    """Where in the source each image ``<split>/<class>/<file>`` lies."""
    places = {}
    for path in files:
        relative = path.removeprefix(root)
        parts = PurePosixPath(relative).parts
        inside = path.startswith(root) and len(parts) == 3 and parts[0] in SPLITS
        if inside and not is_ignored(relative) and PurePosixPath(relative).suffix.lower() in IMAGE_SUFFIXES:
            places[relative] = path
    return places


def _class_folders(folders: Iterable[str], root: str) -> set[tuple[str, str]]:
    found = set()
    for folder in folders:
        parts = PurePosixPath(folder.removeprefix(root)).parts
        if folder.startswith(root) and len(parts) == 2 and parts[0] in SPLITS and not is_ignored(folder):
            found.add((parts[0], parts[1]))
    return found


def _check(members: Members, places: dict[str, str], progress: Callable[[str], None]) -> list[ImageFile]:
    def check(path: str) -> ImageFile | DatasetError:
        try:
            return check_image(path, members.read(places[path]))
        except DatasetError as error:
            return error

    images: list[ImageFile] = []
    errors: list[DatasetError] = []
    for result in _in_threads(check, sorted(places), "Checked", progress):
        if isinstance(result, DatasetError):
            errors.append(result)
        else:
            images.append(result)
    if errors:
        more = f" {len(errors) - 1} more files can't be used either." if len(errors) > 1 else ""
        raise DatasetError(f"{errors[0]}{more}")
    return images


def _send(
    members: Members,
    places: dict[str, str],
    images: list[ImageFile],
    uri: str,
    s3: Any,
    progress: Callable[[str], None],
) -> int:
    bucket, prefix = split_s3_uri(uri)

    def send(image: ImageFile) -> None:
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{image.path}", Body=members.read(places[image.path]))

    return sum(1 for _ in _in_threads(send, images, "Sent", progress))


def _in_threads(
    work: Callable[[Item], Result], items: list[Item], verb: str, progress: Callable[[str], None]
) -> Iterable[Result]:
    begun = reported = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for done, result in enumerate(pool.map(work, items), start=1):
            yield result
            now = time.monotonic()
            if now - reported >= PROGRESS_SECONDS or done == len(items):
                reported, rate = now, done / max(now - begun, 1e-6)
                progress(f"{verb} {done} of {len(items)} images, {rate:.0f} a second.")


def _exists(s3: Any, uri: str) -> bool:
    bucket, key = split_s3_uri(uri)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def _sizes(s3: Any, uri: str) -> dict[str, int]:
    bucket, prefix = split_s3_uri(f"{uri}/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        item["Key"].removeprefix(prefix): item["Size"] for page in pages for item in page.get("Contents", [])
    }
