"""Thumbnails of images in S3."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from include.pipeline.pages.pictures import read_thumbnails

from .samples import photo


def test_thumbnails_are_jpegs_in_the_order_of_the_images(s3: Any) -> None:
    sizes = {"wide.jpg": (400, 240), "high.jpg": (100, 320), "small.jpg": (32, 32)}
    for name, size in sizes.items():
        s3.put_object(Bucket="bucket", Key=name, Body=photo(1, size))
    uris = read_thumbnails([f"s3://bucket/{name}" for name in sizes], s3, 1_000_000)
    pictures = [
        Image.open(io.BytesIO(base64.b64decode((uri or "").removeprefix("data:image/jpeg;base64,"))))
        for uri in uris
    ]
    assert [(picture.format, picture.size) for picture in pictures] == [
        ("JPEG", (160, 96)),
        ("JPEG", (50, 160)),
        ("JPEG", (32, 32)),
    ]


def test_a_missing_damaged_or_too_large_image_has_no_thumbnail(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="damaged.jpg", Body=photo(1)[:300])
    s3.put_object(Bucket="bucket", Key="large.jpg", Body=photo(1, (40, 40)))
    uris = [f"s3://bucket/{name}.jpg" for name in ("gone", "damaged", "large")]
    assert read_thumbnails(uris, s3, 1_000) == [None, None, None]


def test_an_error_of_s3_is_not_hidden(s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        read_thumbnails(["s3://another/x.jpg"], s3, 1_000)
