"""Small data sets made by the tests."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 64)) -> bytes:
    """A picture of colored blobs; another seed gives one that looks quite different."""
    blobs = Image.frombytes("RGB", (6, 6), random.Random(seed).randbytes(6 * 6 * 3))
    file = io.BytesIO()
    blobs.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def good_files() -> dict[str, bytes]:
    """Two classes, one image each in train, valid and test; no two images alike."""
    seeds = iter(range(6))
    return {
        f"{split}/{label}/{split}.jpg": jpeg(next(seeds))
        for split in ("train", "valid", "test")
        for label in ("001.Robin", "002.Wren")
    }


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[[dict[str, bytes]], str]:
    """Writes files to a zip and returns its path."""

    def write(files: dict[str, bytes]) -> str:
        path = tmp_path / "images.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return str(path)

    return write
