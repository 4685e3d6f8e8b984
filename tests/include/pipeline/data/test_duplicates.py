"""Images that look the same: found when they were saved again, and only then."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from include.pipeline.data import duplicates
from include.pipeline.data.drawings import DrawnMembers
from include.pipeline.data.duplicates import equal_groups, near_pairs
from include.pipeline.data.image_check import CheckedImage, check_image
from include.pipeline.data.looks import Looks
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


def test_the_pairs_are_those_of_comparing_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", 7)
    monkeypatch.setattr(duplicates, "GRIDS_AT_ONCE", 9)
    originals = [jpeg(seed, (40, 40)) for seed in range(150)]
    again = [saved(Image.open(io.BytesIO(body)).resize((30, 30)), 70) for body in originals[::3]]
    images = [check_image(f"a/{n:03d}.jpg", body, Data()) for n, body in enumerate([*originals, *again])]
    hashes = duplicates.perceptual_hashes(np.stack([duplicates.grid_of(image) for image in images]))
    expected = [
        (one.path, other.path)
        for n, one in enumerate(images)
        for m, other in enumerate(images[:n])
        if int(hashes[n] ^ hashes[m]).bit_count() <= duplicates.MAX_DISTANCE
        and duplicates.look_the_same(one, other)
    ]
    assert len(expected) >= 40
    assert near_pairs(images) == near_pairs(images[::-1])
    assert {(b.path, a.path) for a, b in near_pairs(images)} == set(expected)


def frames(paths: list[str]) -> list[CheckedImage]:
    """Images that all look the same, of different bytes, as the frames of a video."""
    template = check_image("a/1.jpg", jpeg(1), Data())
    return [replace(template, path=path, sha256=f"{n:064x}") for n, path in enumerate(paths)]


def test_images_that_all_look_the_same_are_no_more_pairs_than_join_them() -> None:
    paths = [f"{split}/a/{n:04d}.jpg" for split in ("train", "test") for n in range(300)]
    pairs = near_pairs(frames(paths), lambda image: image.path.split("/")[0])
    splits = Counter(tuple(sorted(image.path.split("/")[0] for image in pair)) for pair in pairs)
    assert (splits["train", "train"], splits["test", "test"]) == (299, 299)
    assert 1 <= splits["test", "train"] <= 300
    assert {image.path for pair in pairs for image in pair} == set(paths)


def test_looks_that_are_kept_in_a_file_are_compared_too() -> None:
    looks = Looks()
    images = [check_image(f"a/{n}.jpg", jpeg(n % 5), Data(), looks=looks) for n in range(5)]
    images.append(check_image("b/1.jpg", jpeg(3, (70, 70)), Data(), looks=looks))
    assert [(a.path, b.path) for a, b in near_pairs(images)] == [("a/3.jpg", "b/1.jpg")]
    assert bytes(images[0].look) == bytes(check_image("a/0.jpg", jpeg(0), Data()).look)
