"""Data sets: what is accepted, and what is said about a wrong one."""

from __future__ import annotations

import io
import runpy
from pathlib import Path

import pytest
from PIL import Image

from include.pipeline import dataset
from include.pipeline.dataset import DatasetError, ImageFile, check_image, describe, fingerprint, locate_root

from .conftest import jpeg


def image(path: str, sha256: str = "0") -> ImageFile:
    return ImageFile(path, 1, sha256)


def splits(*labels: str) -> list[ImageFile]:
    return [image(f"{split}/{label}/1.jpg") for split in ("train", "valid", "test") for label in labels]


def test_fingerprint_names_content_whatever_its_order() -> None:
    one, other = image("train/a/1.jpg", "1"), image("train/a/2.jpg", "2")
    assert fingerprint([one, other]) == fingerprint([other, one])
    assert fingerprint([one]) != fingerprint([image("train/a/1.jpg", "2")])


@pytest.mark.parametrize("root", ["", "dogImages/", "some/where/"])
def test_the_folder_with_the_splits_is_found(root: str) -> None:
    assert locate_root([f"{root}{split}/a/1.jpg" for split in ("train", "valid", "test")]) == root


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        pytest.param(["train/a/1.jpg", "valid/a/1.jpg"], "no test split", id="no test split"),
        pytest.param(["train/a/1.jpg"], "no valid and no test split", id="train alone"),
        pytest.param(["photos/a/1.jpg"], "none of the folders train, valid, test", id="no split at all"),
    ],
)
def test_missing_splits_are_named(paths: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        locate_root(paths)


def test_a_description_counts_classes_and_images() -> None:
    description = describe([*splits("a", "b"), image("train/a/2.jpg")], set())
    assert description.classes == ["a", "b"]
    assert description.counts == {"train": 3, "valid": 2, "test": 2}


def test_a_class_whose_folder_is_empty_is_named() -> None:
    with pytest.raises(DatasetError, match="valid split has no image of c"):
        describe([*splits("a", "b"), image("train/c/1.jpg"), image("test/c/1.jpg")], {("valid", "c")})


def test_an_empty_folder_alone_is_noticed() -> None:
    with pytest.raises(DatasetError, match="train split has no image of c"):
        describe(splits("a", "b"), {("train", "c")})


def test_another_number_of_classes_than_the_project_says_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"2 classes; the project's data.classes says 133"):
        describe(splits("a", "b"), set(), classes=133)


def test_one_class_is_not_enough() -> None:
    with pytest.raises(DatasetError, match="at least 2"):
        describe(splits("a"), set())


def test_a_good_image_is_measured() -> None:
    content = jpeg()
    checked = check_image("train/a/1.jpg", content)
    assert (checked.path, checked.size, len(checked.sha256)) == ("train/a/1.jpg", len(content), 64)


def test_text_named_as_an_image_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"train/a/1.jpg is named as a JPEG image, but is not an image"):
        check_image("train/a/1.jpg", b"some text")


def test_half_an_image_is_refused() -> None:
    whole = jpeg(size=(200, 200))
    with pytest.raises(DatasetError, match="can't be decoded"):
        check_image("train/a/1.jpg", whole[: len(whole) // 2])


def test_an_image_of_another_format_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "BMP")
    with pytest.raises(DatasetError, match="BMP image; use JPEG, PNG or WebP"):
        check_image("train/a/1.jpg", file.getvalue())


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(file, "PNG")
    with pytest.raises(DatasetError, match="12000 x 12000 pixels"):
        check_image("train/a/1.png", file.getvalue())


def test_a_line_of_pixels_is_refused() -> None:
    with pytest.raises(DatasetError, match="201 x 1 pixels; its longer side may be at most 100 times"):
        check_image("train/a/1.jpg", jpeg(size=(201, 1)))


def test_what_is_staged_is_what_the_classifier_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(dataset.__file__).parents[1] / "classifier"
    monkeypatch.syspath_prepend(folder)  # as it is shipped: its modules side by side
    classifier = runpy.run_path(str(folder / "images.py"))
    assert classifier["MAX_PIXELS"] == dataset.MAX_PIXELS
    assert classifier["MAX_ASPECT_RATIO"] == dataset.MAX_ASPECT_RATIO
