"""A small data set of pictures of five kinds, drawn by code: always the same, and not told apart by color."""

from __future__ import annotations

import functools
import io
import math
import random
from collections.abc import Callable, Collection, Iterator, Sequence

from PIL import Image, ImageDraw, ImageFilter

IMAGES_PER_CLASS = {"train": 60, "valid": 15, "test": 15}
SIDE = 128

Point = tuple[float, float]
Color = tuple[int, int, int]


class DrawnMembers:
    """The pictures as files ``<split>/<class>/<number>.png``; see :class:`include.pipeline.data.sources.Members`."""

    notes: Sequence[str] = ()

    def __init__(self) -> None:
        self._pictures = {
            path: encoded(path)
            for split, count in IMAGES_PER_CLASS.items()
            for label in CLASSES
            for path in [f"{split}/{label}/{label[4:]}_{number:03d}.png" for number in range(count)]
        }

    def files(self) -> dict[str, int]:
        return {path: len(content) for path, content in self._pictures.items()}

    def folders(self) -> list[str]:
        return [f"{split}/{label}" for split in IMAGES_PER_CLASS for label in CLASSES]

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            yield path, self._pictures[path]

    def copy_source(self, path: str) -> None:
        return None


@functools.cache  # all of them take seconds, and 10 MB
def encoded(path: str) -> bytes:
    file = io.BytesIO()
    draw_picture(path.split("/")[1], random.Random(path)).save(file, "PNG")  # noqa: S311 - to be repeatable, not secret
    return file.getvalue()


def draw_picture(label: str, chance: random.Random) -> Image.Image:
    """One picture of 128 x 128 pixels: a filled shape on a speckled ground, both of any color.

    Background, color, size, place and angle are drawn from the same distributions for every kind, so that the
    mean color says nothing about the class.
    """
    ground = Image.frombytes("L", (SIDE, SIDE), chance.randbytes(SIDE * SIDE))
    dark, light = sorted((_color(chance), _color(chance)), key=sum)
    picture = Image.merge(
        "RGB",
        [
            ground.point([low + (high - low) * v // 255 for v in range(256)])
            for low, high in zip(dark, light, strict=True)
        ],
    ).filter(ImageFilter.GaussianBlur(1.5))
    radius = chance.uniform(0.22, 0.36) * SIDE
    center = (chance.uniform(radius, SIDE - radius), chance.uniform(radius, SIDE - radius))
    outline = CLASSES[label](center, radius, chance.uniform(0, 2 * math.pi))
    ImageDraw.Draw(picture).polygon(outline, fill=_color(chance), outline=_color(chance), width=3)
    return picture


def _color(chance: random.Random) -> Color:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


def _around(center: Point, radii: list[float], angle: float) -> list[Point]:
    """The corners of a closed outline: one at each radius, at equal angles."""
    step = 2 * math.pi / len(radii)
    return [
        (center[0] + radius * math.cos(angle + i * step), center[1] + radius * math.sin(angle + i * step))
        for i, radius in enumerate(radii)
    ]


def _circle(center: Point, radius: float, angle: float) -> list[Point]:
    return _around(center, [radius] * 40, angle)


def _triangle(center: Point, radius: float, angle: float) -> list[Point]:
    return _around(center, [radius] * 3, angle)


def _square(center: Point, radius: float, angle: float) -> list[Point]:
    return _around(center, [radius] * 4, angle)


def _star(center: Point, radius: float, angle: float) -> list[Point]:
    return _around(center, [radius, radius * 0.4] * 5, angle)


def _crescent(center: Point, radius: float, angle: float) -> list[Point]:
    outer = [(radius, turn) for turn in _turns(-2.2, 2.2)]
    inner = [(radius * (0.1 + 0.9 * (abs(turn) / 2.2) ** 2), turn) for turn in _turns(2.2, -2.2)]
    return [
        (center[0] + r * math.cos(angle + turn), center[1] + r * math.sin(angle + turn))
        for r, turn in outer + inner
    ]


def _turns(start: float, end: float, count: int = 24) -> list[float]:
    return [start + (end - start) * i / (count - 1) for i in range(count)]


CLASSES: dict[str, Callable[[Point, float, float], list[Point]]] = {
    "001.circle": _circle,
    "002.crescent": _crescent,
    "003.square": _square,
    "004.star": _star,
    "005.triangle": _triangle,
}
