"""Thumbnails for pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from include.classifier.image_classifier import image_decoding
from include.pipeline.names import split_s3_uri

SIDE = 160  # pixels
READERS = 4


def read_thumbnails(uris: Iterable[str], s3: Any, max_pixels: int) -> list[str | None]:
    """Return thumbnails of images in S3 as ``data:`` URIs; None for an image that is missing or can't be decoded.

    :param max_pixels: see :attr:`include.pipeline.settings.Data.max_pixels`.
    """
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda uri: _read_thumbnail(uri, s3, max_pixels), uris))


def data_uri(content: bytes, subtype: str = "jpeg") -> str:
    """Return an image as a ``data:`` URI."""
    return f"data:image/{subtype};base64,{base64.b64encode(content).decode()}"


def _read_thumbnail(uri: str, s3: Any, max_pixels: int) -> str | None:
    bucket, key = split_s3_uri(uri)
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        picture, _ = image_decoding.decode(content, max_pixels, short_side=SIDE)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None
    except image_decoding.ImageRefused:
        return None
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return data_uri(file.getvalue())
