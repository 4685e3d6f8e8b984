"""Opens one image safely, whatever its format, as 8-bit RGB the right way up."""

from contextlib import suppress
from pathlib import Path

from PIL import Image

from . import image_decoding, shipped
from .errors import ClassifierError
from .image_decoding import FormatNotDecoded, Header, ImageRefused

with suppress(ClassifierError):  # without it, HEIC is a format that is not decoded
    shipped.provide("pi_heif")


class ImageError(ClassifierError):
    """The bytes are not an image that can be used."""


class FormatError(ImageError):
    """The bytes are an image of a format that is not decoded here."""


def open_image(source: bytes | Path, short_side: int | None = None) -> Image.Image:
    """Decode an image to RGB, 8 bits a channel, as :func:`image_decoding.decode`.

    :param source: the encoded bytes, or the path of a file, which error messages then name.
    :raises ImageError: not an image, damaged, truncated, or too large to decode safely.
    """
    try:
        return image_decoding.decode(_read(source), short_side=short_side)[0]
    except ImageRefused as error:
        raise _error(source, error) from error


def inspect_image(content: bytes) -> Header:
    """Return what an image costs to decode.

    :raises ImageError: as open_image, as far as it is known without decoding.
    """
    try:
        return image_decoding.inspect(content)
    except ImageRefused as error:
        raise _error(content, error) from error


def _read(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise ImageError(f"The image {source} cannot be read ({error.strerror}).") from error


def _error(source: bytes | Path, error: ImageRefused) -> ImageError:
    kind = FormatError if isinstance(error, FormatNotDecoded) else ImageError
    return kind(f"The image {source} {error}." if isinstance(source, Path) else f"The image {error}.")
