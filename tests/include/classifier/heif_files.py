"""HEIC and AVIF files: sound ones, and ones made to cost whoever decodes them."""

import base64
import io
import struct

from PIL import Image

# 16 x 8 pixels in four colors, to be turned by 90 degrees; made by libheif with x265.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAcVtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB6QABAAAAAAAAAEsAAgAAAAACNAABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABBGlwcnAAAADjaXBjbwAAAHVodmNDAQNwAAAA"
    "AAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "rprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFw"
    "AAAAEAAAAAEAAAAIAAAAAf///9AAAAAC////yAAAAAIAAAAOcGl4aQAAAAABCAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaB"
    "AgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAHdtZGF0AAAARygBr1IacoaA83ICc8MCslN2Vocq4RnOy8D/KpYxIUK1"
    "1vgpEJTVUDIJpGvRgU7hlPLfYJ9dN3o4KmygBEwUL/YtnrEt5q2wAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)
CORNERS = ((0, 0, 250), (250, 0, 0), (250, 250, 0), (0, 250, 0))
"""The colors of HEIC's corners, upright: top left, top right, bottom left, bottom right."""


def avif(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "AVIF", **options)
    return file.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def full_box(kind: bytes, *parts: bytes) -> bytes:
    """A box with version and flags of 0."""
    return box(kind, bytes(4), *parts)


def heif(*references: bytes, side: int = 8_000, parts_side: int = 8_000) -> bytes:
    """The boxes of a HEIC with a main image (1) and a part (2), and no data.

    :param side: width and height of the main image, and ``parts_side`` of the part.
    """
    sizes = [full_box(b"ispe", struct.pack(">II", pixels, pixels)) for pixels in (side, parts_side)]
    owners = full_box(b"ipma", struct.pack(">I HBB HBB", 2, 1, 1, 1, 2, 1, 2))
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + full_box(
        b"meta",
        full_box(b"pitm", struct.pack(">H", 1)),
        full_box(b"iref", *references),
        box(b"iprp", box(b"ipco", *sizes), owners),
    )


def reference(kind: bytes, source: int, targets: list[int]) -> bytes:
    return box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))


HOSTILE = {
    "a grid of one large image": (
        heif(reference(b"dimg", 1, [2] * 400)),
        "parts have more pixels than the image",
    ),
    "alpha that is larger than the image": (
        heif(reference(b"auxl", 2, [1]), side=10, parts_side=8_000),
        "parts have more pixels than the image",
    ),
    "grids in grids": (
        heif(reference(b"dimg", 1, [2] * 70), reference(b"dimg", 2, [1] * 70)),
        "parts have more pixels than the image",
    ),
    "grids that share their parts": (
        heif(*[reference(b"dimg", item, list(range(1, 65))) for item in range(1, 65)]),
        "parts have more pixels than the image",
    ),
    "many references": (heif(reference(b"dimg", 1, [2] * 6_000)), "more than 5,000 items"),
    "many pixels": (heif(side=9_000), "has 9000 x 9000|damaged"),
    "no main image": (
        box(b"ftyp", b"heic", bytes(4), b"heic") + full_box(b"meta"),
        "boxes name no main image",
    ),
    "a box in a box that is smaller": (
        box(b"ftyp", b"heic", bytes(4), b"heic") + full_box(b"meta", b"\0\0\0\x50pitm"),
        "boxes are cut off",
    ),
    "no boxes at all": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(90), "boxes are cut off|no main image"),
}
