"""Walks through the structure of an image file before Pillow reads it, which is cheap whatever the file holds."""

import zlib

from . import bounds, jpeg
from .bounds import ImageRefused
from .source import Source

# Pillow knows some forty formats, a few of which start other programs; photographs need these.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

RLE_COMPRESSIONS = (1, 2)


def read(content: bytes) -> Source:
    """Return what to decode of a file.

    :raises ImageRefused: the format or its variant is not supported, or the structure is damaged.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return jpeg.read(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _read_png(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return Source("WEBP", content, bounds.WEBP_BYTES_PER_PIXEL)
    if content.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif(content)
    if content.startswith(b"BM"):
        return _read_bmp(content)
    raise ImageRefused(f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image")


def _read_png(content: bytes) -> Source:
    """Check the number of chunks, and the checksums of those that hold the image; Pillow skips most of them."""
    position, parts = 8, 0
    while position + 8 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        end = position + 8 + length
        is_critical = not kind[0] & 0x20
        checksum = content[end : end + 4]
        is_complete = len(checksum) == 4
        if (
            is_critical
            and is_complete
            and _crc(content, position + 4, end) != int.from_bytes(checksum, "big")
        ):
            name = kind.decode("ascii", "backslashreplace")
            raise ImageRefused(f"is damaged: the checksum of its {name} chunk is wrong")
        position = end + 4
        parts += 1
        _check_parts(parts, "chunks")
        if kind == b"IEND":
            break
    return Source("PNG", content)


def _read_gif(content: bytes) -> Source:
    """Check the number of blocks before the first image, which is the only one that is decoded."""
    position, parts = 13, 0
    if len(content) > 10 and content[10] & 0x80:
        position += 3 << ((content[10] & 7) + 1)
    while content[position : position + 1] == b"!":
        position += 2
        while position < len(content) and content[position]:
            position += 1 + content[position]
            parts += 1
            _check_parts(parts, "blocks before its first image")
        position += 1
        parts += 1
        _check_parts(parts, "blocks before its first image")
    return Source("GIF", content)


def _read_bmp(content: bytes) -> Source:
    """Refuse run-length encoding: Pillow decodes it pixel by pixel in Python, and no photograph has it."""
    header = int.from_bytes(content[14:18], "little")
    if header >= 40 and int.from_bytes(content[30:34], "little") in RLE_COMPRESSIONS:
        raise ImageRefused("is a run-length encoded BMP; save it as a PNG")
    return Source("BMP", content)


def _crc(content: bytes, start: int, end: int) -> int:
    return zlib.crc32(memoryview(content)[start:end])


def _check_parts(parts: int, name: str) -> None:
    if parts > bounds.MAX_PARTS:
        raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} {name}")
