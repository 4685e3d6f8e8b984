"""Reads the chunks of a PNG, and leaves out those that say nothing about its pixels."""

import zlib

from . import bounds, orientation
from .bounds import ImageRefused
from .source import Source

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD, EXIF_KEYWORD = b"XML:com.adobe.xmp", b"Raw profile type exif"
# What is looked for, the orientation, is a few hundred bytes; the rest may be megabytes.
MAX_METADATA_BYTES = 1 << 20


def read(content: bytes) -> Source:
    """Return what to decode of a PNG.

    Texts and profiles are left out: they may be compressed a thousandfold, and Pillow refuses whole images for them.
    The checksums of the other chunks are checked, most of which Pillow skips.

    :raises ImageRefused: there are too many chunks, or the checksum of one is wrong.
    """
    position, parts = len(SIGNATURE), 0
    kept = [SIGNATURE]
    exif = profile = xmp = b""
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
        if is_critical or kind == b"tRNS":
            kept.append(content[position : end + 4])
        elif kind == b"eXIf":
            exif = exif or content[position + 8 : end]
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, body = content[position + 8 : end].partition(b"\0")
            if keyword == XMP_KEYWORD and kind == b"iTXt":
                xmp = xmp or _international_text(body)
            elif keyword == EXIF_KEYWORD:
                text = body if kind == b"tEXt" else _inflated(body[1:])
                profile = profile or orientation.raw_profile(text.decode("latin-1"))
        position = end + 4
        parts += 1
        if parts > bounds.MAX_PARTS:
            raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} chunks")
        if kind == b"IEND":
            break
    return Source("PNG", b"".join(kept), exif=exif or profile, xmp=xmp)


def _international_text(body: bytes) -> bytes:
    is_compressed, rest = body[:1] == b"\1", body[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]  # behind the language and the translated keyword
    return _inflated(text) if is_compressed else text


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_METADATA_BYTES)
    except zlib.error:
        return b""


def _crc(content: bytes, start: int, end: int) -> int:
    return zlib.crc32(memoryview(content)[start:end])
