"""Reads the boxes of a HEIF file (ISO/IEC 23008-12), HEIC or AVIF, and knows whether there is a decoder for it."""

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import bounds
from .bounds import FormatNotDecoded, ImageRefused
from .source import Source

BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"),
}
# Names of Pillow's formats. pi_heif calls its own HEIF.
PILLOW_FORMATS = {"HEIC": "HEIF", "AVIF": "AVIF"}

# A photo of a phone has some 50 tiles, a gain map, a depth map and a thumbnail.
MAX_ITEMS = 5_000
MAX_DEPTH = 4
# The kind of reference from EXIF and XMP data to an image.
DESCRIPTION = b"cdsc"
# Tiles at the right and at the bottom reach over the edge. Alpha is a second image.
MOST_PARTS = 4
SPARE_PIXELS = 1 << 20
# With the planes that the decoder gives, RGB of them, and Pillow's copy. Pillow turns an AVIF itself.
BYTES_PER_PIXEL = {"HEIC": 11, "AVIF": 12}
BYTES_OF_ALPHA = 4


@dataclass
class Items:
    """What the box `meta` says of the items of a file."""

    main: int = -1
    areas: list[int] = field(default_factory=list)
    """By property, from 1: the pixels that an ispe names, or 0."""
    properties: dict[int, list[int]] = field(default_factory=dict)
    references: dict[bytes, dict[int, list[int]]] = field(default_factory=dict)
    """By kind and item: the items that it refers to."""
    _costs: dict[tuple[int, int], int] = field(default_factory=dict)

    def area(self, item: int) -> int:
        named = self.properties.get(item, ())
        return max((self.areas[n - 1] for n in named if 0 < n <= len(self.areas)), default=0)

    def cost(self, item: int, depth: int = 0) -> int:
        """Return the pixels that are decoded for an item: its own, or those of its parts."""
        if (item, depth) not in self._costs:
            parts = self.references.get(b"dimg", {}).get(item, []) if depth < MAX_DEPTH else []
            each = [self.cost(part, depth + 1) for part in parts]
            self._costs[item, depth] = sum(each) if parts else self.area(item)
        return self._costs[item, depth]


def kind_of(content: bytes) -> str | None:
    """Return HEIC or AVIF, if a file is one."""
    if content[4:8] != b"ftyp":
        return None
    size = int.from_bytes(content[:4], "big")
    brands = [content[8:12], *(content[n : n + 4] for n in range(16, min(size, len(content), 256), 4))]
    return next((kind for kind, known in BRANDS.items() if any(brand in known for brand in brands)), None)


@functools.cache
def can_decode(kind: str) -> bool:
    """Return whether this Python can decode a format: HEIC by pi_heif, AVIF by the Pillow that is installed."""
    if kind == "HEIC":
        try:
            import pi_heif
        except ImportError:
            return False
        pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
        return True
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        return False
    return AvifImagePlugin.SUPPORTED


def read(content: bytes, kind: str) -> Source:
    """Return what to decode of a HEIC or an AVIF: without EXIF and XMP data, since its boxes say how it is turned.

    :raises FormatNotDecoded: there is no decoder for it here.
    :raises ImageRefused: its boxes are damaged, or its parts would cost more than the image.
    """
    if not can_decode(kind):
        raise FormatNotDecoded(kind)
    try:
        items, kept = _read_meta(content)
        area, cost = items.area(items.main), items.cost(items.main)
        further = [
            item for item, targets in items.references.get(b"auxl", {}).items() if items.main in targets
        ]
        cost += sum(items.cost(item) for item in further)
    except (struct.error, IndexError):
        raise ImageRefused("is damaged or truncated: its boxes are cut off") from None
    if not area:
        raise ImageRefused("is damaged or truncated: its boxes name no main image")
    if cost > MOST_PARTS * area + SPARE_PIXELS:
        raise ImageRefused("is damaged or hostile: its parts have more pixels than the image")
    each = BYTES_PER_PIXEL[kind] + (BYTES_OF_ALPHA if further and kind == "AVIF" else 0)
    return Source(kind, kept, each, pillow_format=PILLOW_FORMATS[kind])


def _read_meta(content: bytes) -> tuple[Items, bytes]:
    """Return the items, and the file in which no metadata refers to an image."""
    items, kept = Items(), bytearray(content)
    for kind, start, end in _boxes(content, 0, len(content), may_end_otherwise=True):
        if kind != b"mdat":  # the data, in which the letters may come by chance
            kept[start:end] = kept[start:end].replace(DESCRIPTION, b"skip")
        if kind != b"meta" or items.main >= 0:
            continue
        for inner, begin, stop in _boxes(content, start + 4, end):
            if inner == b"pitm":
                (items.main,) = struct.unpack_from(">I" if content[begin] else ">H", content, begin + 4)
            elif inner == b"iref":
                _read_references(items, content, begin, stop)
            elif inner == b"iprp":
                _read_properties(items, content, begin, stop)
    return items, bytes(kept)


def _boxes(
    content: bytes, start: int, end: int, may_end_otherwise: bool = False
) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and where its content starts and ends.

    :param may_end_otherwise: whether cameras may have written something else behind the boxes.
    """
    number = 0
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, start + 8)
            header = 16
        stop = start + size if size else end
        if (size and size < header) or stop > end:
            if may_end_otherwise and kind not in (b"meta", b"mdat"):
                return
            raise ImageRefused("is damaged or truncated: its boxes are cut off")
        yield kind, start + header, stop
        start, number = stop, number + 1
        if number > bounds.MAX_PARTS:
            raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} boxes")


def _read_references(items: Items, content: bytes, start: int, end: int) -> None:
    letter, size = ("I", 4) if content[start] else ("H", 2)
    total = 0
    for kind, begin, _ in _boxes(content, start + 4, end):
        source, count = struct.unpack_from(f">{letter}H", content, begin)
        total += count
        _check_count(total)
        targets = struct.unpack_from(f">{count}{letter}", content, begin + size + 2)
        items.references.setdefault(kind, {})[source] = list(targets)


def _read_properties(items: Items, content: bytes, start: int, end: int) -> None:
    for kind, begin, stop in _boxes(content, start, end):
        if kind == b"ipco":
            for name, at, _ in _boxes(content, begin, stop):
                width, height = struct.unpack_from(">II", content, at + 4) if name == b"ispe" else (0, 0)
                items.areas.append(width * height)
        elif kind == b"ipma":
            _read_associations(items, content, begin)


def _read_associations(items: Items, content: bytes, start: int) -> None:
    version, is_wide = content[start], content[start + 3] & 1
    (count,) = struct.unpack_from(">I", content, start + 4)
    _check_count(count)
    position = start + 8
    for _ in range(count):
        item, number = struct.unpack_from(">IB" if version else ">HB", content, position)
        position += 5 if version else 3
        found = struct.unpack_from(f">{number}{'H' if is_wide else 'B'}", content, position)
        position += number * (2 if is_wide else 1)
        items.properties[item] = [one & (0x7FFF if is_wide else 0x7F) for one in found]


def _check_count(count: int) -> None:
    if count > MAX_ITEMS:
        raise ImageRefused(f"is damaged or hostile: it has more than {MAX_ITEMS:,} items")
