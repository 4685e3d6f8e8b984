"""Stages a data set in S3: checked first, named by its content, and never sent twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from include.classifier.image_classifier import image_decoding, image_files
from include.pipeline.data import (
    conversion,
    data_report,
    dataset,
    duplicates,
    folders,
    image_check,
    member_names,
    sharing,
    splits,
    uploads,
    versions,
)
from include.pipeline.data import layout as layouts
from include.pipeline.data.dataset import Assembled
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.examination import examine
from include.pipeline.data.manifest import NAME, Manifest
from include.pipeline.data.sources import identify, open_source, public_address
from include.pipeline.data.transfer import send_images
from include.pipeline.data.versions import Version
from include.pipeline.names import digest, project_uri, split_s3_uri
from include.pipeline.pages.documents import Run
from include.pipeline.results import StagedData
from include.pipeline.settings import Data, Project

log = logging.getLogger(__name__)

CLIENT_CONFIG = Config(max_pool_connections=uploads.THREADS, retries={"mode": "standard", "max_attempts": 5})
"""For the S3 client that is passed in, so that each thread has a connection."""


def stage(
    project: Project,
    source: str,
    bucket: str,
    s3: Any,
    progress: Callable[[str], None] = log.info,
    credentials: Any = None,
    judged: Callable[[str], None] = log.info,
    run: Run | None = None,
) -> StagedData:
    """Check a data set and put it to ``s3://<bucket>/<project>/data/<fingerprint>/``.

    Nothing is sent before all of it was judged. A source that has not changed since it was staged is not read.
    Objects that are there already are not sent again, images of the data set staged last are copied by S3 itself,
    and the manifest comes last, so that a prefix with a manifest is complete.

    :param credentials: botocore credentials for obstore; without them boto3 sends.
    :param judged: is called with the result of the check in one sentence, as soon as it is known.
    :param run: the DAG run that the data report links back to.
    :raises DatasetError: if the source can't be read or the data set can't be used; its ``report`` is the address
        of the page that shows why, where the images could be judged.
    """
    home = f"{project_uri(bucket, project)}/data"
    identity = identify(source, s3)
    receipt = f"{home}/sources/{digest([identity, _rules(project.data)])}.json" if identity else None
    if receipt and (known := _read_receipt(s3, receipt)) and _exists(s3, f"{known.uri}/{NAME}"):
        judged(f"{_accepted(known)} The source has not changed since it was staged: nothing is read or sent.")
        return known.model_copy(update={"sent": 0, "copied": 0})
    with open_source(source, s3, progress) as members:
        layout, data_set = examine(members, project.data, progress)
        uri = f"{home}/{data_set.fingerprint}"
        previous = versions.read_previous(s3, home, data_set.fingerprint)
        changed = _changes(previous, data_set)
        report = data_report.publish(project, public_address(source), uri, data_set, s3, run, changed)
        staged = StagedData(
            uri=uri,
            fingerprint=data_set.fingerprint,
            classes=data_set.classes,
            counts=data_set.totals,
            warnings=[finding.message for finding in data_set.findings],
            set_aside=len(data_set.set_aside),
            ignored=len(data_set.ignored),
            reading=data_set.reading,
            changes=changed,
            report=report,
        )
        _judge(data_set, staged, progress, judged)
        sent = copied = 0
        if not _exists(s3, f"{uri}/{NAME}"):
            sent, copied = send_images(members, layout, data_set, home, s3, credentials, progress, previous)
            _write(s3, f"{uri}/{NAME}", _manifest(data_set, public_address(source), changed))
    if receipt:
        _write(s3, receipt, json.dumps(staged.model_dump(exclude_unset=True)).encode())
    return staged.model_copy(update={"sent": sent, "copied": copied})


def _rules(data: Data) -> list[Any]:
    """What decides, besides the source, which images are staged: the settings and the code of the checks."""
    modules = [
        conversion,
        dataset,
        duplicates,
        folders,
        image_check,
        image_files,
        layouts,
        member_names,
        sharing,
        splits,
    ]
    files = [Path(str(module.__file__)) for module in modules]
    files += sorted(Path(str(image_decoding.__file__)).parent.glob("*.py"))
    settings = data.model_dump(mode="json", exclude={"watch_seconds"})
    return [settings, [file.read_text() for file in files]]


def _judge(
    data_set: Assembled,
    staged: StagedData,
    progress: Callable[[str], None],
    judged: Callable[[str], None],
) -> None:
    """Say whether the data set can be used, then what is wrong with it.

    :raises DatasetError: if it can't be used.
    """
    errors = [finding.message for finding in data_set.findings if finding.level == "error"]
    judged(f"The data set can't be used. {errors[0]}" if errors else _accepted(staged))
    for line in (data_set.accounted, *staged.changes):
        progress(line)
    progress(data_set.reading)
    for finding in data_set.findings:
        progress(f"{finding.level.capitalize()}: {finding.message}")
    progress(f"Data report: {staged.report}")
    if errors:
        others = f" The data report lists {len(errors) - 1} more." if len(errors) > 1 else ""
        raise DatasetError(errors[0] + others, report=staged.report)


def _changes(previous: Version | None, data_set: Assembled) -> list[str]:
    """Say what differs from the version before; nothing for the first one."""
    if not previous:
        return []
    changed = versions.changes(
        ((file["path"], file["sha256"]) for file in previous.manifest.files),
        ((path, image.sha256) for path, image in data_set.images.items()),
    )
    first = f"Compared with the version before, {previous.named}:"
    return [first, *(changed or ["Files have other names; no image, class or split differs."])]


def _accepted(staged: StagedData) -> str:
    splits = ", ".join(f"{count:,} {split}" for split, count in staged.counts.items())
    return (
        f"The data set can be used: {sum(staged.counts.values()):,} images of {len(staged.classes)} classes "
        f"({splits}). Excluded images: {staged.set_aside:,}. Ignored files: {staged.ignored:,}. "
        f"Warnings: {len(staged.warnings)}."
    )


def _manifest(data_set: Assembled, source: str, changed: list[str]) -> bytes:
    manifest = Manifest(
        fingerprint=data_set.fingerprint,
        classes=data_set.classes,
        counts=data_set.totals,
        source=source,
        staged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        reading=data_set.reading,
        changes=changed,
        set_aside=data_set.set_aside,
        ignored=data_set.ignored,
    )
    return manifest.to_json(
        {"path": path, "size": data_set.images[path].size, "sha256": data_set.images[path].sha256}
        for path in sorted(data_set.images)
    )


def _read_receipt(s3: Any, uri: str) -> StagedData | None:
    bucket, key = split_s3_uri(uri)
    try:
        return StagedData.model_validate_json(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return None
        raise


def _write(s3: Any, uri: str, content: bytes) -> None:
    bucket, key = split_s3_uri(uri)
    s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/json")


def _exists(s3: Any, uri: str) -> bool:
    bucket, key = split_s3_uri(uri)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True
