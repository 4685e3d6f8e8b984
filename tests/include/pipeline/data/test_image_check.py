"""The check of one image judges as training and serving do."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from include.classifier.image_classifier.image_decoding import MAX_PIXELS, heif
from include.pipeline.data.image_check import ImageRefused, check_image, staged_content
from include.pipeline.settings import Data
from tests.include.classifier.heif_files import HEIC
from tests.include.classifier.hostile_images import ACCEPTED, REFUSED

from .conftest import jpeg

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def classifier() -> Any:
    """The classifier's own modules, which import each other by their bare names."""
    folder = str(REPOSITORY / "include" / "classifier")
    sys.path.insert(0, folder)
    from image_classifier import data, images

    yield images, data
    sys.path.remove(folder)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    return Image.open(io.BytesIO(jpeg(1, (60, 40)))).convert(mode)


def transparent() -> Image.Image:
    image = picture("RGBA")
    image.putalpha(0)
    return image


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(picture(), "JPEG", exif=exif)


def sixteen_bits() -> bytes:
    values = np.linspace(0, 65535, 60 * 40).astype(np.uint16).reshape(40, 60)
    return saved(Image.fromarray(values), "PNG")


GOOD = {
    "jpeg": jpeg(1, (60, 40)),
    "png": saved(picture(), "PNG"),
    "webp": saved(picture(), "WEBP"),
    "bmp": saved(picture(), "BMP"),
    "gif": saved(picture("P"), "GIF"),
    "transparent": saved(transparent(), "PNG"),
    "transparent palette": saved(picture("P"), "PNG", transparency=0),
    "cmyk": saved(picture("CMYK"), "JPEG"),
    "gray": saved(picture("L"), "JPEG"),
    "gray with alpha": saved(picture("LA"), "PNG"),
    "black and white": saved(picture("1"), "PNG"),
    "16 bits": sixteen_bits(),
    "animated gif": saved(picture("P"), "GIF", save_all=True, append_images=[picture("L").convert("P")]),
    "animated webp": saved(picture(), "WEBP", save_all=True, append_images=[picture().rotate(90)]),
    "rotated by exif": rotated(),
    "tiff": saved(picture(), "TIFF"),
    "packed tiff": saved(picture(), "TIFF", compression="tiff_lzw"),
    "cmyk tiff": saved(picture("CMYK"), "TIFF", compression="jpeg"),
    "16-bit tiff": saved(Image.open(io.BytesIO(sixteen_bits())), "TIFF"),
    "mpo": saved(picture(), "MPO", save_all=True, append_images=[picture().rotate(90)]),
    "animated png": saved(picture(), "PNG", save_all=True, append_images=[picture().rotate(90)]),
}


def huge_png(side: int) -> bytes:
    """A PNG of side x side black pixels, written without holding them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    pack = zlib.compressobj(9)
    rows = b"".join(pack.compress(bytes(1 + side // 8)) for _ in range(side)) + pack.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD = {
    "empty": b"",
    "text": b"not an image",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "bigtiff": b"II+\0" + saved(picture(), "TIFF")[4:],
    "floating-point tiff": saved(picture("F"), "TIFF"),
    "half a tiff": saved(picture(), "TIFF")[:3000],
    "half a jpeg": jpeg(1, (60, 40))[:-300],
    "half a png": saved(picture(), "PNG")[:-200],
    "too many pixels": huge_png(8_008),
    "a line": saved(Image.new("RGB", (2_000, 4)), "PNG"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_the_check_accepts_is_opened_rightly_in_training_and_serving(classifier: Any, kind: str) -> None:
    content = GOOD[kind]
    checked = check_image("train/a/1.jpg", content, Data(), thumbnail=True)
    opened = classifier[0].open_image(content)
    assert opened.mode == "RGB"
    upright = (40, 60) if kind == "rotated by exif" else (60, 40)
    assert opened.size == upright
    assert (checked.size, {checked.width, checked.height}) == (len(content), {60, 40})
    gray = np.asarray(opened.convert("L").resize((32, 32), Image.Resampling.BOX), np.float64)
    look = np.frombuffer(checked.look, np.uint8).reshape(32, 32)
    assert np.abs(gray - look).mean() < 2  # the check sees what training sees
    assert checked.thumbnail
    assert max(Image.open(io.BytesIO(checked.thumbnail)).size) == 60


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_sound_image_is_accepted(kind: str) -> None:
    assert check_image("train/a/1.jpg", ACCEPTED[kind], Data()).sha256


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_or_damaged_image_is_excluded_with_its_reason(kind: str) -> None:
    content, reason = REFUSED[kind]
    with pytest.raises(ImageRefused, match=f"^it .*({reason})"):
        check_image("train/a/1.jpg", content, Data())


@pytest.mark.parametrize("kind", BAD)
def test_what_the_check_refuses_is_refused_in_training_and_serving(classifier: Any, kind: str) -> None:
    with pytest.raises(ImageRefused, match=r"^it (is|has) "):
        check_image("train/a/1.jpg", BAD[kind], Data())
    with pytest.raises(classifier[0].ImageError):
        classifier[0].open_image(BAD[kind])


def test_limits_come_from_the_project() -> None:
    with pytest.raises(ImageRefused, match="60 x 40 pixels, more than 1,000"):
        check_image("a/1.jpg", GOOD["png"], Data(max_pixels=1_000))
    with pytest.raises(ImageRefused, match="more than 100"):
        check_image("a/1.jpg", GOOD["png"], Data(max_image_bytes=100))


def test_pixels_are_those_of_the_classifier() -> None:
    assert Data().max_pixels == MAX_PIXELS


def test_a_decompression_bomb_costs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png(30_000))
    assert path.stat().st_size < 1_000_000
    script = f"""
import re
from include.pipeline.data.image_check import ImageRefused, check_image
from include.pipeline.settings import Data
content = open({str(path)!r}, "rb").read()
peak = lambda: int(re.findall(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[0])
before = peak()
try:
    check_image("a/1.png", content, Data())
except ImageRefused as error:
    print(peak() - before, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    kilobytes, reason = done.stdout.split(maxsplit=1)
    assert "more than 64,000,000" in reason
    assert int(kilobytes) < 200_000


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_what_not_all_containers_decode_is_checked_as_the_png_that_is_staged(
    classifier: Any, kind: str
) -> None:
    content = HEIC if kind == "heic" else saved(picture(), "AVIF", quality=90)
    checked = check_image("train/a/1.png", content, Data())
    staged = staged_content(content, checked)
    assert checked.converted
    assert staged.startswith(b"\x89PNG")
    assert (len(staged), hashlib.sha256(staged).hexdigest()) == (checked.size, checked.sha256)
    assert checked.format == f"{kind.upper()} (as PNG)"
    asked = classifier[0].open_image(content)
    assert asked.size == (checked.width, checked.height)
    assert asked.tobytes() == classifier[0].open_image(staged).tobytes()
    with pytest.raises(ImageRefused, match="more than 100"):
        check_image("train/a/1.png", content, Data(max_pixels=100))
    with pytest.raises(ImageRefused, match="damaged"):
        check_image("train/a/1.png", content[: len(content) // 2], Data())


@pytest.mark.parametrize(
    ("kind", "reason"), [("HEIC", "takes the Python package pi-heif"), ("AVIF", "Pillow can't decode")]
)
def test_without_a_decoder_the_reason_says_what_to_do(
    kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heif, "can_decode", lambda kind: False)
    content = HEIC if kind == "HEIC" else saved(picture(), "AVIF")
    with pytest.raises(ImageRefused, match=reason):
        check_image("train/a/1.png", content, Data())
