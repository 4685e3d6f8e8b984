"""What the steps before the first job store in S3 and ECR."""

from __future__ import annotations

from pydantic import Field

from include.pipeline.pages.documents import Document


class StagedData(Document):
    """The result of the task ``stage_data``: the checked data set in S3."""

    uri: str
    """The S3 prefix of the data set."""
    fingerprint: str
    """A digest of the images and their classes."""
    classes: list[str]
    counts: dict[str, int]
    """The number of images by split."""
    warnings: list[str] = Field([])
    set_aside: int = 0
    """The number of excluded images."""
    ignored: int = 0
    """The number of ignored files."""
    reading: str = ""
    """How the folders were read, in a sentence."""
    changes: list[str] = Field([])
    """What differs from the previous version of the data set, in sentences."""
    report: str | None = None
    """The S3 URI of the data report."""
    sent: int = 0
    """The number of images that were uploaded."""
    copied: int = 0
    """The number of images that were copied within S3."""


class StagedCode(Document):
    """The result of the task ``package_code``: the archive of the classifier's code in S3."""

    uri: str
    sha256: str
    """A digest of the files in it."""


class StagedWeights(Document):
    """The result of the task ``stage_weights``."""

    uri: str | None
    """The S3 prefix of the pretrained weights; None if the training starts from random weights."""


class ServingImage(Document):
    """The result of the task ``serving_image``."""

    uri: str
    """The image in ECR, with its digest."""
    content: str
    """The digest of the files that it was built from."""
    build: str | None
    """The ID of the build; None if ECR had the image."""
