"""What an image costs does not grow with their number: counted in calls and bytes, and not in seconds."""

from __future__ import annotations

import gc
import io
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from include.pipeline.data import duplicates
from include.pipeline.data.dataset import Assembled
from include.pipeline.data.examination import examine
from include.pipeline.data.sources import open_source
from include.pipeline.settings import Data

MOST_BYTES_PER_IMAGE = 1_000
SPLITS = ("train",) * 8 + ("valid", "test")


def archive(folder: Path, images: int, first: int = 0) -> Path:
    """A zip with so many images of 8 x 8 pixels, no two alike, numbered from ``first``."""
    path = folder / f"{first}-{images}.zip"
    pixels = np.random.default_rng(first).integers(0, 256, (images, 8, 8), np.uint8)
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(images):
            file = io.BytesIO()
            Image.fromarray(pixels[number]).save(file, "PNG")
            split = SPLITS[number // 5 % len(SPLITS)]
            packed.writestr(f"photos/{split}/{number % 5}.class/{first + number:07d}.png", file.getvalue())
    return path


def examined(path: Path) -> Assembled:
    with open_source(str(path), None) as members:
        return examine(members, Data(), lambda line: None)[1]


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import and cache what the first data set alone pays for."""
    examined(archive(tmp_path_factory.mktemp("warm"), 10))


def test_the_memory_of_an_image_is_below_its_limit(tmp_path: Path) -> None:
    def peak(images: int, first: int) -> int:
        path = archive(tmp_path, images, first)
        gc.collect()
        tracemalloc.start()
        try:
            assert len(examined(path).images) == images
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # pathlib interns names, and the table of all interned strings of the process is enlarged when it is full: by 17 MB
    # in the middle of a run of all tests. It then has room for the images of the second time, which are others.
    few, many = 1_000, 3_000
    least, most = (min(peak(images, first) for first in (0, many)) for images in (few, many))
    assert (most - least) / (many - few) < MOST_BYTES_PER_IMAGE


def test_the_calls_for_an_image_do_not_grow_with_their_number(tmp_path: Path) -> None:
    def calls(images: int) -> float:
        path = archive(tmp_path, images)
        with counted_calls() as made:
            examined(path)
            return made.count / images

    assert calls(1_600) < 1.05 * calls(400)


def test_few_of_all_pairs_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    images = 3_000
    hashes = np.random.default_rng(0).integers(0, 1 << 63, images, np.uint64)
    compared = 0

    def pairs(first: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal compared
        compared += int(counts.sum())
        return iter(())

    monkeypatch.setattr(duplicates, "pairs_of", pairs)
    assert list(duplicates.similar_pairs(hashes)) == []
    assert 0 < compared < 0.01 * images * (images - 1) / 2


class counted_calls:
    """Count calls of Python and C functions in this thread and in all threads that start within the block."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> counted_calls:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # as documented

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        self.count += event in ("call", "c_call")
