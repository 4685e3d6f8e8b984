"""Decodes an image with Pillow, once its structure and its size are known to be within the bounds."""

import io

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from . import bounds, formats, orientation
from .bounds import Header, ImageRefused
from .source import Source

# In such pieces Pillow reads a JPEG, so that its position in the file tells what the decoder needed.
READ_BYTES = 1024

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
    file = io.BytesIO(source.content)
    with _open(file, source) as image:
        header = _checked_header(image, source, max_pixels)
        try:
            if short_side is not None:
                image.draft(None, (short_side, short_side))
            if source.is_one_scan:
                image.decodermaxblock = READ_BYTES
            image.load()
            if source.is_one_scan:
                _check_unread(len(source.content) - file.tell(), len(source.content))
            return _to_rgb(orientation.turn_upright(image, source.exif, source.xmp)), header
        except ImageRefused:
            raise
        except Exception as error:  # hostile bytes make the decoders raise almost anything
            raise _damaged(error) from error


def _open(file: io.BytesIO, source: Source) -> ImageFile.ImageFile:
    try:
        return Image.open(file, formats=[source.format])
    except UnidentifiedImageError:
        raise ImageRefused(
            f"is damaged: it begins as a {source.format}, but its header can't be read"
        ) from None
    except Image.DecompressionBombError:
        raise ImageRefused(f"has more than {bounds.MAX_PIXELS:,} pixels; make it smaller") from None
    except Exception as error:  # as above
        raise _damaged(error) from error


def _damaged(error: Exception) -> ImageRefused:
    return ImageRefused(f"is damaged or truncated and cannot be decoded ({error})")


def _checked_header(image: Image.Image, source: Source, max_pixels: int) -> Header:
    width, height = image.size
    pixels = width * height
    header = Header(
        source.format, width, height, round(pixels * source.bytes_per_pixel), pixels * source.scans
    )
    bounds.check(header, max_pixels)
    return header


def _check_unread(unread: int, size: int) -> None:
    """Raise if the decoder had all pixels long before the data ended, as where a part was overwritten."""
    if unread > max(2 * READ_BYTES, size // 16):
        raise ImageRefused(f"is damaged: the last {unread:,} bytes of its image data belong to no pixel")


def _to_rgb(image: Image.Image) -> Image.Image:
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
