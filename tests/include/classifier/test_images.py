"""Images are decoded to upright 8-bit RGB, whatever their format, or refused with a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_classifier.image_decoding import MAX_PIXELS
from image_classifier.images import ImageError, open_image
from PIL import Image

from tests.include.classifier.drawing import draw, encode, png_that_claims

RED = (200, 40, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_every_format_becomes_rgb(kind: str) -> None:
    image = open_image(encode(draw(RED), kind))

    assert image.mode == "RGB"
    assert np.asarray(image).mean((0, 1)) == pytest.approx(RED, abs=12)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "RGBA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new("RGB", (10, 10), "white").convert(mode)

    opened = open_image(encode(image, "JPEG" if mode == "CMYK" else "PNG"))

    assert opened.mode == "RGB"
    assert opened.getpixel((5, 5)) == (255, 255, 255)


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))

    assert open_image(encode(clear, "PNG")).getpixel((5, 5)) == (255, 255, 255)


def test_a_transparent_palette_color_is_laid_over_white() -> None:
    image = Image.new("P", (10, 10), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])

    assert open_image(encode(image, "PNG", transparency=0)).getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bit_grey_is_scaled_to_eight() -> None:
    gray = Image.fromarray(np.full((10, 10), 128 * 256, np.uint16))

    assert open_image(encode(gray, "PNG")).getpixel((5, 5)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("orientation", "to_upright"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_270),
        (8, Image.Transpose.ROTATE_90),
    ],
)
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_the_exif_orientation_is_applied(
    kind: str, options: dict[str, Any], orientation: int, to_upright: Image.Transpose
) -> None:
    image, exif = draw(RED, size=(40, 20)), Image.Exif()
    exif[0x0112] = orientation

    opened = open_image(encode(image, kind, exif=exif, **options))
    assert np.array_equal(opened, image.transpose(to_upright))


@pytest.mark.parametrize(
    ("short_side", "size"),
    [
        (None, (400, 600)),
        (400, (400, 600)),
        (399, (400, 600)),
        (200, (200, 300)),
        (50, (50, 75)),
        (9, (50, 75)),
    ],
)
def test_a_large_jpeg_is_decoded_no_larger_than_needed(short_side: int | None, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter

    opened = open_image(encode(draw(RED, size=(600, 400)), exif=exif), short_side)
    assert opened.size == size
    assert np.asarray(opened).mean((0, 1)) == pytest.approx(RED, abs=12)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (10, 10), color) for color in ("red", "blue")]

    image = open_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))

    assert image.getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is not a JPEG", id="nothing"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a JPEG", id="svg"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a JPEG", id="postscript"),
        pytest.param(encode(draw(RED))[:1500], "truncated", id="half a jpeg"),
        pytest.param(encode(draw(RED), "PNG")[:9000], "truncated", id="half a png"),
        pytest.param(encode(draw(RED), "WEBP")[:900], "damaged|not a JPEG", id="half a webp"),
        pytest.param(png_that_claims(30_000, 30_000), "pixels", id="bomb"),
        pytest.param(png_that_claims(MAX_PIXELS // 8000 + 1, 8000), "pixels", id="just above the limit"),
        pytest.param(png_that_claims(1, 60_000), "times its shorter side", id="a line"),
    ],
)
def test_what_cannot_be_used_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        open_image(content)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")

    with pytest.raises(ImageError, match=r"broken\.jpg"):
        open_image(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"lost\.jpg cannot be read \(No such file"):
        open_image(tmp_path / "lost.jpg")


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("the image was decoded"))

    with pytest.raises(ImageError):
        open_image(png_that_claims(9000, 9000))
