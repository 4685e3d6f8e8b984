"""Turns an image upright, as its EXIF or XMP data say."""

import re
import struct
from typing import Any

from PIL import Image

TAG = 0x0112
ENTRY_BYTES = 12
SHORT = 3

_xmp = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')

TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_upright(image: Image.Image, exif: bytes, xmp: bytes) -> Image.Image:
    """Return the image upright: itself where nothing says otherwise.

    As Pillow's exif_transpose, which reads and copies all EXIF data for it, however large they pretend to be.
    """
    if image.format == "TIFF":
        return image  # Pillow has turned it
    exif = exif or _bytes(image.info.get("exif"))
    xmp = xmp or _bytes(image.info.get("xmp"))
    orientation = _from_exif(exif)
    if orientation is None and (match := _xmp.search(xmp)):
        orientation = int(match[1])
    method = TO_UPRIGHT.get(orientation or 1)
    return image if method is None else image.transpose(method)


def _from_exif(exif: bytes) -> int | None:
    """Return the orientation in the first directory of EXIF data (a TIFF header and what follows it)."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return None
    (position,) = struct.unpack_from(f"{order}I", exif, 4)
    if position + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(f"{order}H", exif, position)
    for start in range(position + 2, position + 2 + ENTRY_BYTES * count, ENTRY_BYTES):
        if start + ENTRY_BYTES > len(exif):
            break
        tag, kind, values, value = struct.unpack_from(f"{order}HHIH", exif, start)
        if (tag, kind, values) == (TAG, SHORT, 1):
            return int(value)
    return None


def raw_profile(text: str) -> bytes:
    """Return the EXIF data that ImageMagick writes into a PNG: hexadecimal, after three lines."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _bytes(value: Any) -> bytes:
    return value.encode(errors="replace") if isinstance(value, str) else value or b""
