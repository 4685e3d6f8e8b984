"""Whatever the bytes of an image, decoding it ends within its bounds, and damage is not decoded to gray."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_classifier import image_decoding
from image_classifier.image_decoding import Header, ImageRefused, bounds, decode, heif, inspect
from PIL import Image, ImageOps

from tests.include.classifier.drawing import png_that_claims
from tests.include.classifier.heif_files import CORNERS, HEIC, HOSTILE, avif
from tests.include.classifier.hostile_images import (
    ACCEPTED,
    PHOTOGRAPH,
    REFUSED,
    damaged,
    exif_bomb,
    photograph,
    png,
    progressive,
    segment,
    with_segments,
    zeroed,
)

# Pillow warns of each tag of the bomb, and refuses the others.
NOT_BY_PILLOW = {
    "exif bomb",
    "png with texts of 3 MB",
    "png with a huge profile",
    "progressive jpeg without its last two bytes",
    "gray progressive jpeg without its last byte",
    "jpeg without its last two bytes",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_or_damaged_image_is_refused_with_its_reason(name: str) -> None:
    content, reason = REFUSED[name]

    with pytest.raises(ImageRefused, match=reason):
        decode(content)


@pytest.mark.parametrize("name", sorted(set(ACCEPTED) - NOT_BY_PILLOW))
def test_a_sound_image_is_decoded_as_pillow_does(name: str) -> None:
    with Image.open(io.BytesIO(ACCEPTED[name])) as image:
        expected = image.convert("RGB")

    assert np.array_equal(decode(ACCEPTED[name])[0], expected)


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("jpeg without its last two bytes", "baseline"),
        ("progressive jpeg without its last two bytes", "progressive"),
        ("gray progressive jpeg without its last byte", "gray progressive"),
    ],
)
def test_a_jpeg_without_its_end_marker_has_all_of_its_pixels(cut: str, whole: str) -> None:
    assert np.array_equal(decode(ACCEPTED[cut])[0], decode(ACCEPTED[whole])[0])
    assert decode(ACCEPTED[cut], short_side=60)[0].size == decode(ACCEPTED[whole], short_side=60)[0].size


@pytest.mark.parametrize("name", ["png with texts of 3 MB", "png with a huge profile"])
def test_a_png_with_much_besides_its_pixels_is_decoded(name: str) -> None:
    assert np.array_equal(decode(ACCEPTED[name])[0], decode(png(60, 40, 8, 2))[0])


def test_a_heic_is_turned_upright() -> None:
    image, header = decode(HEIC)
    assert (image.size, image.mode, header.format) == ((8, 16), "RGB", "HEIC")
    corners = [image.getpixel(place) for place in ((0, 0), (7, 0), (0, 15), (7, 15))]
    assert np.abs(np.subtract(corners, CORNERS)).max() < 50


@pytest.mark.parametrize("value", range(1, 9))
def test_an_avif_is_turned_upright_as_a_jpeg_is(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    jpeg = with_segments(
        photograph(quality=100, subsampling=0), segment(0xE1, b"Exif\0\0" + orientation_entry("<", value))
    )
    expected = np.asarray(decode(jpeg)[0], np.int16)
    content = avif(PHOTOGRAPH, quality=100, subsampling="4:4:4", exif=exif)
    assert np.abs(np.asarray(decode(content)[0], np.int16) - expected).mean() < 2


def test_of_an_avif_the_first_picture_is_laid_over_white() -> None:
    clear = PHOTOGRAPH.convert("RGBA")
    clear.putalpha(0)
    content = avif(clear, save_all=True, append_images=[PHOTOGRAPH.convert("RGBA")])
    assert np.asarray(decode(content)[0]).min() == 255


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_heic_is_refused_before_it_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, reason = HOSTILE[name]
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("the image was decoded"))
    with pytest.raises(ImageRefused, match=reason):
        decode(content)


@pytest.mark.parametrize("content", [HEIC, avif(PHOTOGRAPH, exif=b"Exif\0\0MM\0*" + bytes(99))])
def test_a_heif_file_keeps_all_but_its_metadata(content: bytes) -> None:
    kept = heif.read(content, heif.kind_of(content)).content
    assert len(kept) == len(content)
    assert b"cdsc" in content
    assert b"cdsc" not in kept


@pytest.mark.parametrize(("kind", "content"), [("HEIC", HEIC), ("AVIF", avif(PHOTOGRAPH))])
def test_a_format_that_is_not_decoded_is_named(
    kind: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heif, "can_decode", lambda kind: False)
    with pytest.raises(image_decoding.FormatNotDecoded, match=f"is an? {kind} image.*send it as JPEG"):
        decode(content)


@pytest.mark.parametrize("value", range(1, 9))
def test_a_tiff_is_turned_upright_once(value: int) -> None:
    file = io.BytesIO()
    PHOTOGRAPH.save(file, "TIFF", tiffinfo={0x0112: value})
    jpeg = with_segments(
        photograph(quality=100, subsampling=0), segment(0xE1, b"Exif\0\0" + orientation_entry("<", value))
    )
    expected = np.asarray(decode(jpeg)[0], np.int16)
    assert np.abs(np.asarray(decode(file.getvalue())[0], np.int16) - expected).mean() < 2


@pytest.mark.parametrize(
    "name", ["1,000 scans of a large image", "many segments", "many chunks", "many comments"]
)
def test_a_hostile_image_is_refused_before_pillow_reads_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow read the file"))

    with pytest.raises(ImageRefused):
        decode(REFUSED[name][0])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png_that_claims(8000, 8001), id="pixels"),
        pytest.param(REFUSED["a progressive image that needs much memory"][0], id="memory"),
    ],
)
def test_an_image_beyond_a_bound_is_not_decoded(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("the image was decoded"))

    with pytest.raises(ImageRefused):
        decode(content)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_damaged_tiff_writes_nothing_to_standard_error(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = photograph("TIFF", compression=compression)
    for cut in (damaged(content, zeroed), content[:-20]):
        with pytest.raises(ImageRefused):
            decode(cut)
    assert capfd.readouterr() == ("", "")


def test_metadata_are_not_given_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Exif, "load", lambda *_: pytest.fail("Pillow read the EXIF data"))

    assert decode(exif_bomb())[0].size == PHOTOGRAPH.size


def orientation_entry(order: str, value: int) -> bytes:
    entries = [(0x010F, 2, 4, 0x41424300), (0x0112, 3, 1, value << 16 if order == ">" else value)]
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(
        struct.pack(f"{order}HHII", *entry) for entry in entries
    )
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + directory + bytes(4)


def upright_by_pillow(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_in_exif_data_is_applied(order: str, value: int) -> None:
    content = with_segments(photograph(), segment(0xE1, b"Exif\0\0" + orientation_entry(order, value)))

    assert np.array_equal(decode(content)[0], upright_by_pillow(content))


@pytest.mark.parametrize("spelling", [b'tiff:Orientation="8"', b"<tiff:Orientation>8</tiff:Orientation>"])
def test_the_orientation_in_xmp_data_is_applied_where_exif_data_have_none(spelling: bytes) -> None:
    content = with_segments(photograph(), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + spelling))

    assert decode(content)[0].size == (240, 320)
    assert np.array_equal(decode(content)[0], upright_by_pillow(content))


def test_the_orientation_that_imagemagick_writes_into_a_png_is_applied() -> None:
    data = orientation_entry("<", 6).hex()
    text = f"Raw profile type exif\0\nexif\n{len(data) // 2:8}\n{data}\n".encode()
    content = png(60, 40, 8, 2, (b"tEXt", text))

    assert decode(content)[0].size == upright_by_pillow(content).size == (40, 60)


@pytest.mark.parametrize("size", range(0, 40, 3))
def test_exif_data_that_are_cut_off_are_ignored(size: int) -> None:
    content = with_segments(photograph(), segment(0xE1, b"Exif\0\0" + orientation_entry("<", 6)[:size]))

    assert decode(content)[0].size in (PHOTOGRAPH.size, PHOTOGRAPH.size[::-1])


def test_bytes_after_the_last_pixel_are_damage_where_they_are_many() -> None:
    """More than 2,048 and more than a sixteenth; 16 of them are the padding that takes the place of the end marker."""
    scan, end = photograph()[:-2], photograph()[-2:]

    assert len(scan) < 16 * 2048
    decode(scan + b"U" * 2000 + end)
    with pytest.raises(ImageRefused, match=r"its last 2,\d\d\d bytes or more belong to no pixel"):
        decode(scan + b"U" * 2100 + end)


@pytest.mark.parametrize("short_side", [None, 200, 60])
def test_a_sound_jpeg_is_sound_at_any_scale(short_side: int | None) -> None:
    assert decode(photograph(), short_side=short_side)[0].mode == "RGB"


def test_what_an_image_costs_is_known_before_it_is_decoded() -> None:
    header = inspect(progressive(1000))

    assert (header.format, header.width, header.height) == ("JPEG", 1000, 1000)
    assert header.scanned_pixels == 10_000_000
    # 4 bytes of RGB, and 2 for each coefficient, of which two channels have a quarter.
    assert header.decoded_bytes == 8_000_000
    assert inspect(png(1000, 1000, 8, 2)).scanned_pixels == 1_000_000


TURNED = Image.Exif()
TURNED[0x0112] = 6
LARGEST = {
    "16-bit png with alpha": png(2000, 2000, 16, 6),
    "png with a transparent color": png(2000, 2000, 8, 2, (b"tRNS", bytes(6))),
    "gray png with alpha": png(2000, 2000, 8, 4),
    "16-bit gray png": png(2000, 2000, 16, 0),
    "progressive jpeg": progressive(2000),
    "turned avif with alpha": avif(Image.new("RGBA", (2000, 2000), (9, 9, 9, 9)), speed=10, exif=TURNED),
}


@pytest.mark.parametrize("name", LARGEST)
def test_decoding_takes_no_more_memory_than_it_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(LARGEST[name])
    code = f"""
import re, sys
sys.path.insert(0, {str(Path(image_decoding.__file__).parents[2])!r})
import numpy
from image_classifier.image_decoding import decode, inspect
content = open({str(path)!r}, "rb").read()
peak = lambda: 1024 * int(re.findall(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[0])
before = peak()
decode(content)
print(peak() - before, inspect(content).decoded_bytes)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    used, announced = (int(number) for number in output.stdout.split())
    assert used < 1.1 * announced + 10_000_000


def test_a_decoder_that_fails_in_an_unknown_way_refuses_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_classifier.image_decoding.decoder.over_white", lambda image: 1 / 0)

    with pytest.raises(ImageRefused, match="damaged or truncated"):
        decode(photograph())


def test_scans_count_by_their_pixels() -> None:
    pixels = 4000 * 4000

    bounds.check(Header("JPEG", 4000, 4000, 6 * pixels, 60 * pixels), bounds.MAX_PIXELS)
    with pytest.raises(ImageRefused, match=r"has 63 scans of 4000 x 4000 pixels, more than 62"):
        bounds.check(Header("JPEG", 4000, 4000, 6 * pixels, 63 * pixels), bounds.MAX_PIXELS)


def test_the_limits_fit_together() -> None:
    assert bounds.MAX_PIXELS * bounds.BYTES_PER_PIXEL <= bounds.MAX_DECODED_BYTES
    assert bounds.MAX_SCANNED_PIXELS >= 10 * bounds.MAX_PIXELS  # an ordinary progressive JPEG of that size
