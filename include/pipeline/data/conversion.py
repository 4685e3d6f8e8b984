"""Converts images of formats that AWS's container images may not decode to PNG, without loss: HEIC and AVIF."""

from __future__ import annotations

import io

from PIL import Image

from include.classifier.image_classifier import image_decoding
from include.classifier.image_classifier.image_decoding import (
    MAX_PIXELS,
    FormatNotDecoded,
    Header,
    ImageRefused,
)

# A little larger than with the highest level, and several times as fast.
COMPRESSION_LEVEL = 3
WITHOUT_DECODER = {
    "HEIC": "is a HEIC image, which takes the Python package pi-heif; install it where Airflow runs, or convert the "
    "image to JPEG or PNG",
    "AVIF": "is an AVIF image, which this machine's Pillow can't decode; convert it to JPEG or PNG",
}


def to_png(content: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return an image as an upright PNG of 8-bit RGB; the same content always gives the same bytes."""
    return encode(decode(content, max_pixels)[0])


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, Header]:
    """Decode an image as training and serving do.

    :raises ImageRefused: it is damaged, beyond a limit, or there is no decoder for it.
    """
    try:
        return image_decoding.decode(content, max_pixels)
    except FormatNotDecoded as error:
        raise ImageRefused(WITHOUT_DECODER[error.kind]) from error


def encode(picture: Image.Image) -> bytes:
    """Return decoded pixels as a PNG, without what else is known of the image."""
    file = io.BytesIO()
    Image.frombytes("RGB", picture.size, picture.tobytes()).save(
        file, "PNG", compress_level=COMPRESSION_LEVEL
    )
    return file.getvalue()
