"""Reads the first directory of a TIFF, so that Pillow and libtiff are given nothing that costs more than its pixels."""

import ctypes
import functools
import struct
from contextlib import suppress
from pathlib import Path

from . import bounds
from .bounds import ImageRefused
from .source import Source

BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
WIDTH, HEIGHT, COMPRESSION, SAMPLE_FORMAT = 256, 257, 259, 339
STRIP_OFFSETS, TILE_OFFSETS, TILE_WIDTH, TILE_LENGTH = 273, 324, 322, 323
# None, CCITT, LZW, JPEG, Deflate and PackBits. Old-style JPEG and the codecs of GIS programs are left out.
COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)
JPEG = 7
UNSIGNED = 1
MAX_ENTRIES = 1_000
# An image in one tile may be smaller than the tile, which is decoded whole.
SPARE_TILE_PIXELS = 1 << 20
# With 16 bits a channel, and a strip as large as the image.
BYTES_PER_PIXEL = 16


def read(content: bytes) -> Source:
    """Return what to decode of a TIFF: its first image.

    :raises ImageRefused: the variant is not supported, or the directory is damaged or made up.
    """
    _silence_libtiff()
    order = "<" if content.startswith(b"II") else ">"
    if content[2:4] in (b"+\0", b"\0+"):
        raise ImageRefused("is a BigTIFF; save it as a PNG")
    values = _directory(content, order)
    compression = values.get(COMPRESSION, 1)
    if compression not in COMPRESSIONS:
        raise ImageRefused(f"is a TIFF with compression {compression}; save it as a PNG")
    if values.get(SAMPLE_FORMAT, UNSIGNED) != UNSIGNED:
        raise ImageRefused("is a TIFF of signed or floating-point numbers; save it with 8 or 16 bits")
    tile = values.get(TILE_WIDTH, 0) * values.get(TILE_LENGTH, 0)
    if tile > 4 * values.get(WIDTH, 0) * values.get(HEIGHT, 0) + SPARE_TILE_PIXELS:
        raise ImageRefused("is damaged or hostile: its tiles are larger than the image")
    scans = content.count(b"\xff\xda") if compression == JPEG else 1
    if scans > bounds.MAX_PARTS:
        raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} JPEG scans")
    return Source("TIFF", content, BYTES_PER_PIXEL)


@functools.cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing its errors to standard error: Pillow raises them too, but offers no switch."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text(errors="replace").splitlines() if maps.exists() else []
    for path in {line[line.index("/") :] for line in lines if "/libtiff" in line}:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(path).TIFFSetErrorHandler(None)


def _directory(content: bytes, order: str) -> dict[int, int]:
    """Return the first number of each entry that is one."""
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        entries = [struct.unpack_from(f"{order}HHI4s", content, start + 2 + 12 * n) for n in range(count)]
    except struct.error:
        raise ImageRefused("is damaged or truncated: its directory is cut off") from None
    if count > MAX_ENTRIES:
        raise ImageRefused(f"is damaged or hostile: its directory has more than {MAX_ENTRIES:,} entries")
    values: dict[int, int] = {}
    total = 0
    for tag, kind, number, field in entries:
        size = BYTES_OF_TYPE.get(kind, 1) * number
        total += size
        # In a sound file no two values share their bytes.
        if total > len(content):
            raise ImageRefused("is damaged or hostile: its directory names more bytes than there are")
        if tag in (STRIP_OFFSETS, TILE_OFFSETS) and number > bounds.MAX_PARTS:
            raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} strips")
        letter = {1: "B", 3: "H", 4: "I"}.get(kind)
        if letter and number:
            position = struct.unpack(f"{order}I", field)[0] if size > 4 else None
            try:
                values[tag] = struct.unpack_from(
                    order + letter, content if position else field, position or 0
                )[0]
            except struct.error:
                raise ImageRefused("is damaged or truncated: a value of its directory is missing") from None
    return values
