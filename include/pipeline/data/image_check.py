"""Sees whether one file is an image that training and serving can use, and what it looks like."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from include.pipeline.settings import Data

# What the classifier opens (include/classifier/images.py), whatever the file is called.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_ASPECT_RATIO = 100
LOOK_SIDE = 32
THUMBNAIL_SIDE = 96


class ImageRefused(Exception):
    """An image that can't be used; the message says why."""


@dataclass(frozen=True)
class SetAside:
    """A file that is left out: where it lies in the source, and why."""

    path: str
    reason: str


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
    look: bytes = field(default=b"", repr=False)
    """Its luminance, upright, on a grid of 32 x 32 pixels: what :mod:`include.pipeline.data.duplicates` compares."""
    thumbnail: bytes | None = field(default=None, repr=False)
    """A small JPEG for the data report."""


def check_image(path: str, content: bytes, data: Data, thumbnail: bool = False) -> CheckedImage:
    """Decode one image as the classifier does. The header is judged first, so that no bomb is decoded.

    :param thumbnail: whether to make a small picture of it.
    :raises ImageRefused: it is empty, no image, damaged, cut off, or beyond a limit.
    """
    if not content:
        raise ImageRefused("it is empty")
    if len(content) > data.max_image_bytes:
        raise ImageRefused(f"it has {len(content):,} bytes, more than {data.max_image_bytes:,}")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image, data)
            width, height, kind = image.width, image.height, str(image.format)
            image.load()
            picture = _to_rgb(image)
    except UnidentifiedImageError:
        raise ImageRefused(f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except Image.DecompressionBombError:
        raise ImageRefused(f"it has more than {data.max_pixels:,} pixels") from None
    except ImageRefused:
        raise
    except Exception as error:  # hostile bytes make the decoders raise almost anything
        raise ImageRefused(f"it is damaged or cut off ({error})") from error
    grey = picture.convert("L").resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    return CheckedImage(
        path,
        len(content),
        hashlib.sha256(content).hexdigest(),
        kind,
        width,
        height,
        grey.tobytes(),
        _thumbnail(picture) if thumbnail else None,
    )


def _check_size(image: Image.Image, data: Data) -> None:
    width, height = image.size
    if width * height > data.max_pixels:
        raise ImageRefused(f"it has {width} x {height} pixels, more than {data.max_pixels:,}")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageRefused(
            f"it has {width} x {height} pixels; the longer side may be {MAX_ASPECT_RATIO} times the shorter"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """What training sees of it: upright, over white, 8 bits a channel."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        scaled = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(with_alpha, mask=with_alpha.getchannel("A"))
        return white
    return image.convert("RGB")


def _thumbnail(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return file.getvalue()
