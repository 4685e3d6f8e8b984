"""Stages a data set in S3: checked first, named by its content, and never sent twice."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from include.pipeline.data import data_report, dataset, duplicates, image_check, uploads
from include.pipeline.data.dataset import Assembled, DatasetError, Layout, assemble, find_layout
from include.pipeline.data.image_check import CheckedImage, ImageRefused, SetAside, check_image
from include.pipeline.data.progress import Progress
from include.pipeline.data.sources import Members, identify, open_source, public_address
from include.pipeline.data.transfer import send_images
from include.pipeline.names import digest, project_uri, split_s3_uri
from include.pipeline.pages.documents import Run
from include.pipeline.settings import Data, Project

log = logging.getLogger(__name__)

CLIENT_CONFIG = Config(max_pool_connections=uploads.THREADS, retries={"mode": "standard", "max_attempts": 5})
"""For the S3 client that is passed in, so that each thread has a connection."""
CHECK_THREADS = min(
    8, os.cpu_count() or 1
)  # decoding keeps a core busy; Pillow lets go of the interpreter meanwhile
WAITING_BYTES = 64 << 20


def stage(
    project: Project,
    source: str,
    bucket: str,
    s3: Any,
    progress: Callable[[str], None] = log.info,
    credentials: Any = None,
    judged: Callable[[str], None] = log.info,
    run: Run | None = None,
) -> dict[str, Any]:
    """Check a data set and put it to ``s3://<bucket>/<project>/data/<fingerprint>/``.

    Nothing is sent before all of it was judged. A source that has not changed since it was staged is not read.
    Objects that are there already are not sent again, images of the data set staged last are copied by S3 itself,
    and the manifest comes last, so that a prefix with a manifest is complete.

    :param credentials: botocore credentials for obstore; without them boto3 sends.
    :param judged: is called with the result of the check in one sentence, as soon as it is known.
    :param run: the DAG run that the data report links back to.
    :return: ``uri``, ``fingerprint``, ``classes``, ``counts`` (images per split), ``warnings`` (sentences),
        ``set_aside`` (images), ``report`` (address of the page), ``sent`` and ``copied`` (objects).
    :raises DatasetError: if the source can't be read or the data set can't be used; its ``report`` is the address
        of the page that shows why, where the images could be judged.
    """
    home = f"{project_uri(bucket, project)}/data"
    identity = identify(source, s3)
    receipt = f"{home}/sources/{digest([identity, _rules(project.data)])}.json" if identity else None
    if receipt and (known := _read_json(s3, receipt)) and _exists(s3, f"{known['uri']}/manifest.json"):
        judged(f"{_accepted(known)} The source has not changed since it was staged: nothing is read or sent.")
        return {**known, "sent": 0, "copied": 0}
    with open_source(source, s3, progress) as members:
        layout = find_layout(members.files(), members.folders())
        data_set = assemble(layout, *_check_images(members, layout, project.data, progress), project.data)
        uri = f"{home}/{data_set.fingerprint}"
        report = data_report.publish(project, public_address(source), uri, data_set, s3, run)
        staged = {
            "uri": uri,
            "fingerprint": data_set.fingerprint,
            "classes": data_set.classes,
            "counts": _totals(data_set),
            "warnings": [finding.message for finding in data_set.findings],
            "set_aside": len(data_set.set_aside),
            "report": report,
        }
        _judge(data_set, staged, progress, judged)
        sent = copied = 0
        if not _exists(s3, f"{uri}/manifest.json"):
            sent, copied = send_images(members, layout, data_set, home, s3, credentials, progress)
            _write_json(s3, f"{uri}/manifest.json", _manifest(data_set, public_address(source)))
    if receipt:
        _write_json(s3, receipt, staged)
    return {**staged, "sent": sent, "copied": copied}


def read_manifest(uri: str, s3: Any) -> dict[str, Any]:
    """The manifest of a staged data set."""
    bucket, key = split_s3_uri(f"{uri}/manifest.json")
    manifest: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return manifest


def _rules(data: Data) -> list[Any]:
    """What decides, besides the source, which images are staged: the settings and the code of the checks."""
    modules = [dataset, duplicates, image_check]
    settings = data.model_dump(mode="json", exclude={"watch_seconds"})
    return [settings, [Path(str(module.__file__)).read_text() for module in modules]]


def _check_images(
    members: Members, layout: Layout, data: Data, progress: Callable[[str], None]
) -> tuple[list[CheckedImage], list[SetAside]]:
    sizes = members.files()
    paths = {place: path for path, place in layout.places.items()}
    pictured = data_report.choose_thumbnails(layout.places)
    images: list[CheckedImage] = []
    set_aside: list[SetAside] = []
    told = Progress("Checked", len(paths), sum(sizes[place] for place in paths), progress)

    def check(place: str, content: bytes) -> None:
        path = paths[place]
        try:
            images.append(check_image(path, content, data, thumbnail=path in pictured))
        except ImageRefused as error:
            set_aside.append(SetAside(place, str(error)))
        told.advance(1, len(content))

    _in_threads(check, members.read(paths))
    return images, sorted(set_aside, key=lambda one: one.path)


def _in_threads(work: Callable[[str, bytes], None], contents: Iterator[tuple[str, bytes]]) -> None:
    """Work on contents as they come, with few of them in memory at once."""
    with ThreadPoolExecutor(CHECK_THREADS) as pool:
        waiting: deque[tuple[int, Future[None]]] = deque()
        waiting_bytes = 0
        for place, content in contents:
            waiting.append((len(content), pool.submit(work, place, content)))
            waiting_bytes += len(content)
            while waiting_bytes > WAITING_BYTES or len(waiting) > 16 * CHECK_THREADS:
                size, future = waiting.popleft()
                future.result()
                waiting_bytes -= size
        for _, future in waiting:
            future.result()


def _judge(
    data_set: Assembled,
    staged: dict[str, Any],
    progress: Callable[[str], None],
    judged: Callable[[str], None],
) -> None:
    """Say whether the data set can be used, then what is wrong with it.

    :raises DatasetError: if it can't be used.
    """
    errors = [finding.message for finding in data_set.findings if finding.level == "error"]
    judged(f"The data set can't be used. {errors[0]}" if errors else _accepted(staged))
    for finding in data_set.findings:
        progress(f"{finding.level.capitalize()}: {finding.message}")
    progress(f"Data report: {staged['report']}")
    if errors:
        others = f" The data report lists {len(errors) - 1} more." if len(errors) > 1 else ""
        raise DatasetError(errors[0] + others, report=staged["report"])


def _accepted(staged: dict[str, Any]) -> str:
    counts, excluded, warnings = staged["counts"], staged["set_aside"], len(staged["warnings"])
    splits = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    return (
        f"The data set can be used: {sum(counts.values()):,} images of {len(staged['classes'])} classes ({splits}). "
        f"Excluded images: {excluded:,}. Warnings: {warnings}."
    )


def _manifest(data_set: Assembled, source: str) -> dict[str, Any]:
    return {
        "fingerprint": data_set.fingerprint,
        "classes": data_set.classes,
        "counts": _totals(data_set),
        "source": source,
        "staged_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": [
            {"path": path, "size": image.size, "sha256": image.sha256}
            for path, image in sorted(data_set.images.items())
        ],
        "set_aside": [vars(one) for one in data_set.set_aside],
    }


def _totals(data_set: Assembled) -> dict[str, int]:
    return {split: sum(per_class.values()) for split, per_class in data_set.counts.items()}


def _read_json(s3: Any, uri: str) -> dict[str, Any] | None:
    bucket, key = split_s3_uri(uri)
    try:
        content: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise
    return content


def _write_json(s3: Any, uri: str, content: dict[str, Any]) -> None:
    bucket, key = split_s3_uri(uri)
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(content).encode(), ContentType="application/json")


def _exists(s3: Any, uri: str) -> bool:
    bucket, key = split_s3_uri(uri)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True
