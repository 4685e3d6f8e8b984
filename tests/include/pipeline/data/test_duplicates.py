"""Images that look the same: found when they were saved again, and only then."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from include.pipeline.data.drawings import DrawnMembers
from include.pipeline.data.duplicates import equal_groups, near_pairs
from include.pipeline.data.image_check import check_image
from include.pipeline.settings import Data

from .conftest import jpeg


def saved(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: saved(image, 60), id="saved again"),
        pytest.param(lambda image: saved(image.resize((100, 100))), id="half the size"),
        pytest.param(lambda image: saved(image.crop((2, 2, 198, 198))), id="cropped"),
        pytest.param(lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)), id="brighter"),
    ],
)
def test_a_changed_copy_is_found(change: Callable[[Image.Image], bytes]) -> None:
    originals = [check_image(f"a/{n}.jpg", jpeg(n, (200, 200)), Data()) for n in range(50)]
    copy = check_image("b/copy.jpg", change(Image.open(io.BytesIO(jpeg(7, (200, 200))))), Data())
    assert [(one.path, other.path) for one, other in near_pairs([*originals, copy])] == [
        ("a/7.jpg", "b/copy.jpg")
    ]


def test_different_pictures_of_one_kind_are_not_the_same() -> None:
    members = DrawnMembers()
    assert near_pairs([check_image(path, body, Data()) for path, body in members.read(members.files())]) == []


def test_empty_pictures_are_not_compared() -> None:
    plain = [
        check_image(f"a/{n}.jpg", saved(Image.new("RGB", (50, 50), (n, n, n))), Data()) for n in range(9)
    ]
    assert near_pairs(plain) == []


def test_equal_bytes_make_a_group_and_no_pair() -> None:
    images = [check_image(path, jpeg(1), Data()) for path in ("b/1.jpg", "a/1.jpg")]
    assert [[image.path for image in group] for group in equal_groups(images)] == [["a/1.jpg", "b/1.jpg"]]
    assert near_pairs(images) == []


def test_the_calls_grow_with_the_number_of_images_and_not_with_that_of_pairs() -> None:
    """Ten thousand images are fifty million pairs, which only NumPy compares in seconds."""
    chance = np.random.default_rng(0)
    template = check_image("a/1.jpg", jpeg(1), Data())
    images = [
        replace(template, path=f"a/{n}.jpg", sha256=str(n), look=chance.bytes(1024)) for n in range(2_000)
    ]

    def calls(count: int) -> int:
        made = 0

        def note(frame: FrameType, event: str, argument: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            pairs = near_pairs(images[:count])
        finally:
            sys.setprofile(None)
        assert pairs == []
        return made

    assert calls(2_000) < 2.2 * calls(1_000)
