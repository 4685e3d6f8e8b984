"""Sees whether one file is an image that training and serving can use, and what it looks like."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field

from PIL import Image

from include.classifier.image_classifier import image_decoding
from include.pipeline.data import conversion
from include.pipeline.data.looks import LOOK_SIDE, Looks, StoredLook
from include.pipeline.settings import Data

THUMBNAIL_SIDE = 96


class ImageRefused(Exception):
    """An image that can't be used; the message says why."""


@dataclass(frozen=True)
class SetAside:
    """A file that is left out: where it lies in the source, and why.

    :param split: the split that its path names, and ``label`` the class; empty where it names none.
    """

    path: str
    reason: str
    split: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """An image that can be used."""

    path: str
    """Its place in the data set: ``[<split>/]<class>/<file>``."""
    size: int
    """In bytes."""
    sha256: str
    format: str
    width: int
    height: int
    look: bytes | StoredLook = field(default=b"", repr=False)
    """Its luminance, upright, on a grid of 32 x 32 pixels: what :mod:`include.pipeline.data.duplicates` compares."""
    thumbnail: bytes | None = field(default=None, repr=False)
    """A small JPEG for the data report."""
    converted: bool = False
    """Whether it is staged as a PNG, whose size and SHA-256 these then are."""


def check_image(
    path: str, content: bytes, data: Data, thumbnail: bool = False, looks: Looks | None = None
) -> CheckedImage:
    """Decode one image as training and serving do. The header is judged first, so that no bomb is decoded.

    What not every container image can decode is converted: the pixels are the same.

    :param thumbnail: whether to make a small picture of it.
    :param looks: where to keep what it looks like; in memory unless given.
    :raises ImageRefused: it is empty, no image, damaged, cut off, or beyond a limit.
    """
    if not content:
        raise ImageRefused("it is empty")
    if len(content) > data.max_image_bytes:
        raise ImageRefused(f"it has {len(content):,} bytes, more than {data.max_image_bytes:,}")
    try:
        picture, header = conversion.decode(content, data.max_pixels)
    except image_decoding.ImageRefused as error:
        raise ImageRefused(f"it {error}") from error
    is_converted = header.format in image_decoding.CONVERTED
    if is_converted:
        content = conversion.encode(picture)
    gray = picture.convert("L").resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    return CheckedImage(
        path,
        len(content),
        hashlib.sha256(content).hexdigest(),
        f"{header.format} (as PNG)" if is_converted else header.format,
        header.width,
        header.height,
        looks.add(gray.tobytes()) if looks else gray.tobytes(),
        _thumbnail(picture) if thumbnail else None,
        is_converted,
    )


def staged_content(content: bytes, image: CheckedImage) -> bytes:
    """Return what is put to S3 of an image: its own bytes, or the PNG that it is converted to."""
    return conversion.to_png(content) if image.converted else content


def _thumbnail(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return file.getvalue()
