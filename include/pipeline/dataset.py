"""What a data set must look like, and the fingerprint that names one."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image, UnidentifiedImageError

from include.pipeline.errors import PermanentError

SPLITS = ("train", "valid", "test")
IMAGE_SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
# What the classifier accepts too (include/classifier/images.py). The header tells the size, so a decompression bomb
# is refused before it is decoded.
MAX_PIXELS = 64_000_000
MAX_ASPECT_RATIO = 100


class DatasetError(PermanentError):
    """A data set that can't be used; the message says which file or folder is wrong, and how."""


@dataclass(frozen=True)
class ImageFile:
    """One image: its place below the data set's root, size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """What a valid data set holds."""

    fingerprint: str
    classes: list[str]
    counts: dict[str, int]
    """Images per split."""


def check_image(path: str, content: bytes) -> ImageFile:
    """Decode one image to see that it is one.

    :raises DatasetError: if the content is no JPEG, PNG or WebP image, is cut off, has more than 64 million pixels,
        or one side more than 100 times the other.
    """
    expected = IMAGE_SUFFIXES[PurePosixPath(path).suffix.lower()]
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DatasetError(
                    f"{path} has {image.width} x {image.height} pixels; the limit is {MAX_PIXELS:,}."
                )
            if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
                raise DatasetError(
                    f"{path} has {image.width} x {image.height} pixels; its longer side may be at most "
                    f"{MAX_ASPECT_RATIO} times its shorter side."
                )
            if image.format not in IMAGE_SUFFIXES.values():
                raise DatasetError(f"{path} is a {image.format} image; use JPEG, PNG or WebP.")
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DatasetError):
            raise
        reason = (
            "is not an image" if isinstance(error, UnidentifiedImageError) else f"can't be decoded: {error}"
        )
        raise DatasetError(f"{path} is named as a {expected} image, but {reason}.") from error
    return ImageFile(path, len(content), hashlib.sha256(content).hexdigest())


def locate_root(paths: Iterable[str]) -> str:
    """The folder that holds train, valid and test: empty, or one or more folders ending with ``/``.

    :raises DatasetError: if no folder does.
    """
    candidates: dict[str, set[str]] = {}
    for path in paths:
        parts = PurePosixPath(path).parts
        for depth, part in enumerate(parts):
            if part in SPLITS:
                root = "".join(f"{parent}/" for parent in parts[:depth])
                candidates.setdefault(root, set()).add(part)
                break
    for root, splits in sorted(candidates.items(), key=lambda item: (-len(item[1]), len(item[0]))):
        missing = [split for split in SPLITS if split not in splits]
        if missing:
            raise DatasetError(
                f"The data set has no {' and no '.join(missing)} split. Expected folders "
                f"{', '.join(SPLITS)}, each with one folder of images per class."
            )
        return root
    raise DatasetError(
        f"The data set has none of the folders {', '.join(SPLITS)}. Each must hold one folder per class."
    )


def describe(
    images: list[ImageFile], folders: set[tuple[str, str]], classes: int | None = None
) -> Description:
    """Check a data set as a whole and name it by its content.

    :param images: paths as ``<split>/<class>/<file>``.
    :param folders: every (split, class) folder that exists, empty ones too.
    :param classes: how many classes there must be, where that is known.
    :raises DatasetError: if a class is empty or missing in a split, or there are too few or other classes.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for split, label in folders:
        counts[split][label] += 0
    for image in images:
        split, label, _ = image.path.split("/", 2)
        counts[split][label] += 1
    labels = sorted({label for per_class in counts.values() for label in per_class})
    for split in SPLITS:
        empty = [label for label in labels if counts[split][label] == 0]
        if empty:
            raise DatasetError(
                f"The {split} split has no image of {_listed(empty)}; each class needs one in each split."
            )
    if len(labels) < 2:
        raise DatasetError(f"The data set has {len(labels)} class; a classifier needs at least 2.")
    if classes is not None and len(labels) != classes:
        raise DatasetError(
            f"The data set has {len(labels)} classes; the project's data.classes says {classes}."
        )
    return Description(fingerprint(images), labels, {split: counts[split].total() for split in SPLITS})


def fingerprint(images: Iterable[ImageFile]) -> str:
    """Sixteen hexadecimal digits that name this content: paths and bytes, whatever order or archive they came in."""
    whole = hashlib.sha256()
    for image in sorted(images, key=lambda image: image.path):
        whole.update(f"{image.sha256}  {image.path}\n".encode())
    return whole.hexdigest()[:16]


def _listed(labels: list[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
