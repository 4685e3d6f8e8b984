"""The manifest of a staged data set, ``manifest.json`` beside its images."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

from pydantic import Field, SkipValidation
from typing_extensions import TypedDict

from include.pipeline.data.image_check import SetAside
from include.pipeline.names import split_s3_uri
from include.pipeline.pages.documents import Document

NAME = "manifest.json"


class ImageFile(TypedDict):
    """An image in S3. There are so many that they stay dictionaries."""

    path: str
    """``<split>/<class>/<file>``."""
    size: int
    """In bytes."""
    sha256: str


class Manifest(Document):
    """The content of ``manifest.json``. Fields that earlier versions did not write have defaults."""

    fingerprint: str
    classes: list[str]
    counts: dict[str, int]
    """The number of images by split."""
    source: str
    """Where the images come from, without secrets."""
    staged_at: str
    """ISO."""
    reading: str = ""
    """How the folders were read, in a sentence."""
    changes: list[str] = Field([])
    """What differs from the previous version of the data set, in sentences."""
    set_aside: list[SetAside] = Field([])
    """Excluded images."""
    ignored: list[SetAside] = Field([])
    files: SkipValidation[list[ImageFile]] = Field([])
    """Not copied by a validation, which would take as much memory again."""

    def to_json(self, files: Iterable[ImageFile]) -> bytes:
        """Return the manifest as JSON with these files, which are written one by one to save memory."""
        written = io.BytesIO()
        written.write(json.dumps(self.model_dump(exclude={"files"})).encode()[:-1] + b', "files": [')
        for number, file in enumerate(files):
            written.write((", " if number else "").encode() + json.dumps(file).encode())
        written.write(b"]}")
        return written.getvalue()


def read_manifest(uri: str, s3: Any) -> Manifest:
    """Return the manifest of the data set at an S3 prefix."""
    bucket, key = split_s3_uri(f"{uri}/{NAME}")
    return Manifest.model_validate(json.load(s3.get_object(Bucket=bucket, Key=key)["Body"]))
