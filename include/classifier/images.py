"""Opens one image safely, whatever its format, as 8-bit RGB the right way up."""

import io
from pathlib import Path

import numpy as np
from errors import ClassifierError
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow knows some forty formats, a few of which start other programs; photographs need these.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

# 64 million pixels is more than a 50-megapixel camera gives and decodes to under 200 MB.
MAX_PIXELS = 64_000_000

# An image of 1 x 60,000,000 pixels would become thousands of times larger when its short side is resized.
MAX_ASPECT_RATIO = 100


class ImageError(ClassifierError):
    """The bytes are not an image that can be used."""


def open_image(source: bytes | Path, short_side: int | None = None) -> Image.Image:
    """Decode an image to RGB, 8 bits a channel.

    The EXIF orientation is applied, transparency is laid over white, and grey, CMYK, palette and 16-bit
    images are converted. Of an animation the first frame is taken.

    :param source: the encoded bytes, or the path of a file, which error messages then name.
    :param short_side: if given, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where its shorter side
        keeps at least so many pixels: the decoder then leaves out work whose result would be shrunk away.
    :raises ImageError: not an image, damaged, truncated, or too large to decode safely.
    """
    name = f"The image {source}" if isinstance(source, Path) else "The image"
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:
            _check_size(image, name)
            if short_side is not None:
                image.draft(None, (short_side, short_side))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file.") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels; make it smaller.") from None
    except Exception as error:  # hostile bytes make the decoders raise almost anything
        raise ImageError(f"{name} is damaged or truncated and cannot be decoded ({error}).") from error


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS:,}; make it smaller.")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageError(
            f"{name} has {width} x {height} pixels; its longer side may be at most "
            f"{MAX_ASPECT_RATIO} times its shorter side."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow would clip it to white instead of scaling it
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(with_alpha, mask=with_alpha.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")
