"""Walks through the structure of an image file before Pillow reads it, which is cheap whatever the file holds."""

from . import bounds, heif, jpeg, png, tiff
from .bounds import ImageRefused
from .source import Source

# Pillow knows some forty formats, a few of which start other programs; photographs need these.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

CONVERTED = ("HEIC", "AVIF")
"""Formats that not every container image of AWS can decode: the data check converts them for training."""

RLE_COMPRESSIONS = (1, 2)


def read(content: bytes) -> Source:
    """Return what to decode of a file.

    :raises FormatNotDecoded: there is no decoder for the format here.
    :raises ImageRefused: the format or its variant is not supported, or the structure is damaged.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return jpeg.read(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return png.read(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return Source("WEBP", content, bounds.WEBP_BYTES_PER_PIXEL)
    if content.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif(content)
    if content.startswith(b"BM"):
        return _read_bmp(content)
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return tiff.read(content)
    if kind := heif.kind_of(content):
        return heif.read(content, kind)
    known = (*FORMATS, *CONVERTED)
    raise ImageRefused(f"is not a {', '.join(known[:-1])} or {known[-1]} image")


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


def _check_parts(parts: int, name: str) -> None:
    if parts > bounds.MAX_PARTS:
        raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} {name}")
