"""The drawn pictures: always the same, and not told apart by their mean color."""

from __future__ import annotations

import io
import statistics

from PIL import Image, ImageStat

from include.pipeline.data import drawings
from include.pipeline.data.drawings import CLASSES, DrawnMembers


def test_each_picture_is_the_same_each_time_and_no_two_are_alike() -> None:
    members = DrawnMembers()
    paths = [path for path in members.files() if path.startswith("test/")]
    first = dict(members.read(paths))
    drawings.encoded.cache_clear()
    assert first == dict(DrawnMembers().read(paths))
    assert len(set(first.values())) == len(paths)


def test_the_nearest_mean_color_is_a_poor_classifier() -> None:
    members = DrawnMembers()

    def mean_colors(split: str) -> list[tuple[str, list[float]]]:
        return [
            (path.split("/")[1], ImageStat.Stat(Image.open(io.BytesIO(content))).mean)
            for path, content in members.read(members.files())
            if path.startswith(f"{split}/")
        ]

    train = mean_colors("train")
    centers = {
        label: [statistics.fmean(color[i] for name, color in train if name == label) for i in range(3)]
        for label in CLASSES
    }

    def nearest(color: list[float]) -> str:
        return min(
            centers, key=lambda label: sum((a - b) ** 2 for a, b in zip(color, centers[label], strict=True))
        )

    test = mean_colors("test")
    accuracy = sum(nearest(color) == label for label, color in test) / len(test)
    assert accuracy < 0.4  # chance is 0.2
