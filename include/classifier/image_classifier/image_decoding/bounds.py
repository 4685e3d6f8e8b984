"""What decoding an image may cost, and how an image that would cost more is refused."""

from dataclasses import dataclass

# More than a 50-megapixel camera gives.
MAX_PIXELS = 64_000_000

# An image of 1 x 60,000,000 pixels would become thousands of times larger when its short side is resized.
MAX_ASPECT_RATIO = 100

# The memory that decoding one image may take at its peak. Two processes that serve on an instance with 4 GB
# then use less than a third of it for this.
MAX_DECODED_BYTES = 550_000_000

# Pillow keeps an RGB pixel in 4 bytes, and an image exists beside its conversion (to RGB, upright, over white).
BYTES_PER_PIXEL = 8
# libwebp has two canvases besides, and Pillow a copy of the first.
WEBP_BYTES_PER_PIXEL = 17

# libjpeg visits every pixel in every scan, however little data the scan has. That takes about 1 ns a pixel, so
# this is one second. Encoders write about 10 scans.
MAX_SCANNED_PIXELS = 1_000_000_000
MAX_SCANS = 100

# The segments of a JPEG, the chunks of a PNG and the blocks before the first image of a GIF: Pillow reads each
# in Python, which takes up to 10 us. A PNG of 64 MB in the usual chunks of 8 KB has 8,000.
MAX_PARTS = 10_000


class ImageRefused(ValueError):
    """An image that can't be used; the message continues a sentence, as in "is damaged"."""


class FormatNotDecoded(ImageRefused):
    """An image of a format that not every container image of AWS can decode."""

    def __init__(self, kind: str) -> None:
        article = "an" if kind[0] in "AEIO" else "a"
        super().__init__(
            f"is {article} {kind} image, which is not decoded here; send it as JPEG, PNG or WebP"
        )
        self.kind = kind


@dataclass(frozen=True)
class Header:
    """An image's format and size, and what it costs to decode.

    :param decoded_bytes: the memory that decoding takes at its peak.
    :param scanned_pixels: width x height x scans: how often the decoder visits a pixel.
    """

    format: str
    width: int
    height: int
    decoded_bytes: int
    scanned_pixels: int


def check(header: Header, max_pixels: int) -> None:
    """Raise if an image would be beyond a bound.

    :raises ImageRefused: with the figures.
    """
    width, height = header.width, header.height
    pixels = width * height
    if pixels > max_pixels:
        raise ImageRefused(f"has {width} x {height} pixels, more than {max_pixels:,}; make it smaller")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageRefused(
            f"has {width} x {height} pixels; its longer side may be at most {MAX_ASPECT_RATIO} times its "
            f"shorter side"
        )
    if header.decoded_bytes > MAX_DECODED_BYTES:
        raise ImageRefused(
            f"has {width} x {height} pixels, which take {_megabytes(header.decoded_bytes)} to decode from this "
            f"kind of {header.format}, more than {_megabytes(MAX_DECODED_BYTES)}; make it smaller"
        )
    if header.scanned_pixels > MAX_SCANNED_PIXELS:
        raise ImageRefused(
            f"has {header.scanned_pixels // pixels} scans of {width} x {height} pixels, more than "
            f"{MAX_SCANNED_PIXELS // pixels}; save it as a baseline JPEG"
        )


def _megabytes(size: int) -> str:
    return f"{size // 1_000_000:,} MB"
