"""Decodes an image with Pillow, once its structure and its size are known to be within the bounds."""

import io
import warnings

import numpy as np
from PIL import Image, ImageChops, ImageFile, UnidentifiedImageError

from . import bounds, formats, orientation
from .bounds import Header, ImageRefused
from .source import Source

# What is damaged is refused with a sentence, and what is not needs none in the log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# A JPEG with more bytes than this, and more than this part of it, after its last pixel is damaged.
MOST_UNREAD_BYTES = 2048
MOST_UNREAD_PART = 16

# So many rows are converted at once, so that no third copy of the image is needed.
BAND_ROWS = 64


def inspect(content: bytes, max_pixels: int = bounds.MAX_PIXELS) -> Header:
    """Return what an image costs to decode, without decoding it.

    :raises ImageRefused: it is no image, its structure is damaged, or decoding it would be beyond a bound.
    """
    source = formats.read(content)
    with _open(io.BytesIO(source.content), source) as image:
        return _checked_header(image, source, max_pixels)


def decode(
    content: bytes, max_pixels: int = bounds.MAX_PIXELS, short_side: int | None = None
) -> tuple[Image.Image, Header]:
    """Decode an image to RGB, 8 bits a channel, and return it with its header.

    The EXIF orientation is applied, transparency is laid over white, and gray, CMYK, palette and 16-bit
    images are converted. Of an animation the first frame is taken.

    :param short_side: if given, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where its shorter side
        keeps at least so many pixels: the decoder then leaves out work whose result would be shrunk away.
    :raises ImageRefused: it is no image, it is damaged or truncated, or decoding it would be beyond a bound.
    """
    source = formats.read(content)
    file = _InTwoPieces(source.content)
    with _open(file, source) as image:
        header = _checked_header(image, source, max_pixels)
        try:
            if short_side is not None:
                image.draft(None, (short_side, short_side))
            if source.is_one_scan:
                size = len(source.content)
                image.decodermaxblock = size
                file.stop = size - max(MOST_UNREAD_BYTES, size // MOST_UNREAD_PART) - 1
            image.load()
            if source.is_one_scan and file.tell() <= file.stop:
                unread = len(source.content) - file.tell()
                raise ImageRefused(f"is damaged: its last {unread:,} bytes or more belong to no pixel")
            if source.other_end:
                _check_end(image, source, short_side)
            return over_white(orientation.turn_upright(image, source.exif, source.xmp)), header
        except ImageRefused:
            raise
        except Exception as error:  # hostile bytes make the decoders raise almost anything
            raise _damaged(error) from error


def _open(file: io.BytesIO, source: Source) -> ImageFile.ImageFile:
    try:
        return Image.open(file, formats=[source.pillow_format or source.format])
    except UnidentifiedImageError:
        raise ImageRefused(
            f"is damaged: it begins as a {source.format}, but its header can't be read"
        ) from None
    except Image.DecompressionBombError:
        raise ImageRefused(f"has more than {bounds.MAX_PIXELS:,} pixels; make it smaller") from None
    except Exception as error:  # as above
        raise _damaged(error) from error


def _damaged(error: Exception) -> ImageRefused:
    reason = " ".join(str(error).split())
    return ImageRefused(f"is damaged or truncated and cannot be decoded ({reason})")


def _checked_header(image: Image.Image, source: Source, max_pixels: int) -> Header:
    width, height = image.size
    pixels = width * height
    header = Header(
        source.format, width, height, round(pixels * source.bytes_per_pixel), pixels * source.scans
    )
    bounds.check(header, max_pixels)
    return header


class _InTwoPieces(io.BytesIO):
    """A file whose first read ends at ``stop``. A decoder that needs no more bytes never reads beyond it.

    In pieces of one size, small enough to show the same, a photo takes a fifth more time, and threads that decode wait
    for each other at each piece.
    """

    stop = 0

    def read(self, size: int | None = -1, /) -> bytes:
        before_stop = self.stop - self.tell()
        if before_stop > 0 and (size is None or not 0 <= size <= before_stop):
            size = before_stop
        return super().read(size)


def _check_end(image: Image.Image, source: Source, short_side: int | None) -> None:
    """Raise if pixels depend on what is missing at the end of the file."""
    with _open(io.BytesIO(source.other_end), source) as other:
        if short_side is not None:
            other.draft(None, (short_side, short_side))
        if ImageChops.difference(image, other).getbbox() is not None:
            raise ImageRefused("is damaged or truncated: the end of its image data is missing")


def over_white(image: Image.Image) -> Image.Image:
    """Return an image as RGB, 8 bits a channel, with white where it is transparent."""
    if image.mode == "F" or (image.format == "TIFF" and image.mode == "I"):
        raise ImageRefused("has 32 bits a channel; save it with 8 or 16")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if not image.mode.startswith("I") and not image.has_transparency_data:
        return image.convert("RGB")
    result = Image.new("RGB", image.size, "white")
    for top in range(0, image.height, BAND_ROWS):
        band = image.crop((0, top, image.width, min(top + BAND_ROWS, image.height)))
        if image.mode.startswith("I"):  # 16-bit gray; Pillow would clip it to white instead of scaling it
            eight_bits = (np.asarray(band).astype(np.uint32) >> 8).astype(np.uint8)
            result.paste(Image.fromarray(eight_bits).convert("RGB"), (0, top))
        else:
            with_alpha = band.convert("RGBA")
            result.paste(with_alpha, (0, top), with_alpha)
    return result
