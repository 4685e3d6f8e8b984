"""The images for the benchmarks of training and serving."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.dataset import GENERATED, jpegs, unpack
from include.pipeline.data.errors import DatasetError


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, kind)
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three splits with two classes of three JPEG files each."""
    path = tmp_path / "dogs.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for split in ("train", "valid", "test"):
            for label in ("001.a", "002.b"):
                for number in range(3):
                    opened.writestr(f"photos/{split}/{label}/{number}.jpg", picture("JPEG"))
    return path


def test_archive_is_written_to_folders_of_splits_and_classes(archive: Path, tmp_path: Path) -> None:
    images = unpack(str(archive), tmp_path / "images", {})
    assert images.name == "18 images of dogs.zip"
    assert [path.relative_to(images.folder).as_posix() for path in images.split("valid")] == [
        f"valid/{label}/{number}.jpg" for label in ("001.a", "002.b") for number in range(3)
    ]


def test_smaller_split_keeps_its_classes(archive: Path, tmp_path: Path) -> None:
    images = unpack(str(archive), tmp_path / "images", {"train": 2})
    assert [path.parent.name for path in images.split("train")] == ["001.a", "002.b"]
    assert len(images.split("test")) == 6


def test_images_are_generated_without_a_data_set(tmp_path: Path) -> None:
    images = unpack(GENERATED, tmp_path / "images", dict.fromkeys(("train", "valid", "test"), 10))
    assert images.name == "30 generated images"


def test_data_set_without_splits_is_an_error(tmp_path: Path) -> None:
    for label in ("001.a", "002.b"):
        (tmp_path / "flat" / label).mkdir(parents=True)
        (tmp_path / "flat" / label / "1.jpg").write_bytes(picture("JPEG"))
    with pytest.raises(DatasetError, match="has no folders train, valid and test"):
        unpack(str(tmp_path / "flat"), tmp_path / "images", {})


def test_other_formats_are_converted_to_jpeg(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(picture("JPEG"))
    (tmp_path / "2.png").write_bytes(picture("PNG"))
    same, converted = jpegs([tmp_path / "1.jpg", tmp_path / "2.png"])
    assert same == picture("JPEG")
    assert Image.open(io.BytesIO(converted)).format == "JPEG"
