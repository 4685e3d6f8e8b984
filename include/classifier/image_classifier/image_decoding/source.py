"""What Pillow is given to decode of a file."""

from dataclasses import dataclass

from . import bounds


@dataclass(frozen=True)
class Source:
    """What Pillow is given to decode, and what is known of it.

    :param content: the file, or what of it holds pixels.
    :param pillow_format: Pillow's name of the format, where it is another one.
    :param bytes_per_pixel: the memory that decoding takes at its peak.
    :param is_one_scan: a JPEG of which the decoder reads all data in one pass.
    :param other_end: the same with other bytes where its end is missing: if nothing that matters is missing, both give
        the same pixels. Empty where nothing is missing.
    """

    format: str
    content: bytes
    bytes_per_pixel: float = bounds.BYTES_PER_PIXEL
    scans: int = 1
    is_one_scan: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    other_end: bytes = b""
    pillow_format: str = ""
