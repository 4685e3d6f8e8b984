"""Images that are damaged as files are, or made to cost whoever decodes them."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from include.classifier.image_classifier.image_decoding import jpeg

# Noise on a slope, so that every block of a JPEG differs, as in a photograph.
_SLOPE = np.linspace(30, 190, 320)[None, :, None] + np.linspace(-20, 20, 240)[:, None, None]
PHOTOGRAPH = Image.fromarray(
    (_SLOPE + np.random.default_rng(5).normal(0, 14, (240, 320, 3))).clip(0, 255).astype(np.uint8)
)


def photograph(kind: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    PHOTOGRAPH.convert(mode).save(file, kind, **options)
    return file.getvalue()


def damaged(
    content: bytes, damage: Callable[[bytes], bytes], start: float = 0.25, end: float = 0.75
) -> bytes:
    """Return a file of which the part between two shares of its length is replaced."""
    first, last = int(start * len(content)), int(end * len(content))
    return content[:first] + damage(content[first:last]) + content[last:]


def zeroed(part: bytes) -> bytes:
    return bytes(len(part))


def removed(part: bytes) -> bytes:
    return b""


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_segments(content: bytes, segments: bytes) -> bytes:
    """Return a JPEG with more segments before all others."""
    return content[:2] + segments + content[2:]


def with_size(content: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose frame header claims another size."""
    start = next(start for marker, start, _ in jpeg.segments(content) if marker in jpeg.FRAMES)
    return content[: start + 5] + struct.pack(">HH", height, width) + content[start + 9 :]


def with_precision(content: bytes, bits: int) -> bytes:
    """Return a JPEG whose frame header claims another number of bits a channel."""
    start = next(start for marker, start, _ in jpeg.segments(content) if marker in jpeg.FRAMES)
    return content[: start + 4] + bytes([bits]) + content[start + 5 :]


def with_scans(content: bytes, times: int) -> bytes:
    """Return a progressive JPEG whose last scan comes so many times more."""
    last = jpeg.read_structure(content).scans[-1]
    return content[: last.end] + content[last.start : last.end] * times + b"\xff\xd9"


def without_scan(content: bytes, number: int) -> bytes:
    scan = jpeg.read_structure(content).scans[number]
    return content[: scan.start] + content[scan.end :]


def progressive(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 40)).save(file, "JPEG", progressive=True)
    return file.getvalue()


def exif_bomb(entries: int = 2000) -> bytes:
    """A JPEG of some 60 KB whose EXIF data name the same 30 KB thousands of times; Pillow copies each of them."""
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", entries)
    data += b"".join(struct.pack("<HHII", tag + 1, 7, 30_000, 8) for tag in range(entries))
    content = photograph()
    [jfif] = [content[start:end] for marker, start, end in jpeg.segments(content) if marker == 0xE0]
    # Without JFIF data Pillow looks into the EXIF data for the resolution as soon as it opens the file.
    return with_segments(content.replace(jfif, b""), segment(0xE1, b"Exif\0\0" + data + bytes(30_000)))


def png(width: int, height: int, bits: int, color: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of equal rows, written without holding them; the chunks come before its data."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = bytes(1 + -(-width * bits * channels // 8))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in parts)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_wrong_checksum(content: bytes, kind: bytes) -> bytes:
    """Return a PNG in which the checksum of its first chunk of a kind is wrong."""
    position = content.index(kind)
    end = position + 4 + int.from_bytes(content[position - 4 : position], "big")
    return content[:end] + bytes([content[end] ^ 1]) + content[end + 1 :]


def gif_with_comments(count: int) -> bytes:
    content = photograph("GIF", "P")
    first_image = content.index(b",", 13 + (3 << ((content[10] & 7) + 1)))
    return content[:first_image] + b"!\xfe\x01a\0" * count + content[first_image:]


def run_length_bmp(side: int) -> bytes:
    """A BMP of one pixel in each row, the rest of which Pillow fills pixel by pixel."""
    data = b"\x01\x05\x00\x00" * side + b"\x00\x01"
    sizes = struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078)
    return (
        b"BM"
        + sizes
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
        + bytes(1024)
        + data
    )


def tiff_with_entries(entries: list[tuple[int, int, int, int]], spare: int = 400) -> bytes:
    """A TIFF of 9 x 9 pixels whose directory has these entries besides: tag, type, number and value."""
    every = sorted([(256, 4, 1, 9), (257, 4, 1, 9), *entries])
    directory = struct.pack("<H", len(every)) + b"".join(struct.pack("<HHII", *entry) for entry in every)
    return b"II*\0\x08\0\0\0" + directory + bytes(4 + spare)


REFUSED: dict[str, tuple[bytes, str]] = {
    "1,000 scans of a large image": (
        with_scans(with_size(progressive(1000), 7900, 7900), 1000),
        "more than 100 scans",
    ),
    "20,000 scans of a small image": (with_scans(progressive(1000), 20_000), "more than 100 scans"),
    "a scan many times": (with_scans(progressive(1000), 80), "a scan is missing or comes twice"),
    "a progressive image that needs much memory": (
        with_size(photograph(progressive=True, subsampling=0), 8000, 8000),
        "take 640 MB",
    ),
    "many segments": (with_segments(photograph(), segment(0xE1, b"Exif\0\0ab") * 20_000), "10,000 segments"),
    "many chunks": (png(9, 9, 8, 2, *[(b"tEXt", b"k\0v")] * 20_000), "10,000 chunks"),
    "many comments": (gif_with_comments(20_000), "10,000 blocks"),
    "run-length encoded bmp": (run_length_bmp(64), "save it as a PNG"),
    "jpeg with its middle zeroed": (damaged(photograph(), zeroed), "damaged|truncated"),
    "jpeg with its middle removed": (damaged(photograph(), removed), "truncated"),
    "jpeg with a hundredth removed": (damaged(photograph(), removed, 0.5, 0.51), "truncated"),
    "fine jpeg with a part zeroed": (
        damaged(photograph(quality=98, subsampling=0), zeroed, 0.5, 0.6),
        "overwritten by zeros",
    ),
    "even jpeg with its middle zeroed": (
        damaged(photograph(quality=40, optimize=True), zeroed),
        "damaged|truncated",
    ),
    "gray jpeg with its middle removed": (damaged(photograph(mode="L"), removed), "truncated"),
    "jpeg with restarts removed": (
        damaged(photograph(restart_marker_rows=1), removed, 0.4, 0.5),
        "restart markers|truncated",
    ),
    "progressive jpeg with its middle zeroed": (
        damaged(photograph(progressive=True), zeroed),
        "scans? (is|are) missing|truncated",
    ),
    "progressive jpeg with its middle removed": (
        damaged(photograph(progressive=True), removed),
        "scans? (is|are) missing|truncated",
    ),
    "progressive jpeg without its last scan": (
        without_scan(photograph(progressive=True), -1),
        "last scans are missing",
    ),
    "jpeg header of a larger image": (with_size(photograph(), 8000, 8000), "truncated"),
    "jpeg header of a smaller image": (with_size(photograph(), 64, 64), "belong to no pixel"),
    "jpeg with 12 bits": (with_precision(photograph(), 12), "12 bits a channel; save it with 8"),
    "png with a bad header checksum": (
        with_wrong_checksum(photograph("PNG"), b"IHDR"),
        "the checksum of its IHDR chunk is wrong",
    ),
    "png with bad data": (
        with_wrong_checksum(photograph("PNG"), b"IDAT"),
        "the checksum of its IDAT chunk is wrong",
    ),
    "half a webp": (photograph("WEBP")[:900], "damaged"),
    "half a tiff": (photograph("TIFF")[:9000], "truncated"),
    "tiff of which the directory is cut off": (
        photograph("TIFF", compression="tiff_lzw")[:-10_000],
        "cut off|truncat",
    ),
    "tiff with values that share their bytes": (
        tiff_with_entries([(70 + n, 1, 100, 8) for n in range(900)]),
        "names more bytes than there are",
    ),
    "tiff with many strips": (tiff_with_entries([(273, 1, 20_000, 8)], 40_000), "more than 10,000 strips"),
    "tiff with a huge tile": (
        tiff_with_entries([(322, 4, 1, 60_000), (323, 4, 1, 60_000)]),
        "tiles are larger than the image",
    ),
    "tiff of a geographic program": (
        tiff_with_entries([(259, 4, 1, 34887)]),
        "compression 34887; save it as a PNG",
    ),
    "progressive jpeg without its end": (
        photograph(progressive=True)[:-40],
        "the end of its image data is missing",
    ),
}

ACCEPTED: dict[str, bytes] = {
    "baseline": photograph(),
    "low quality": photograph(quality=5),
    "best quality": photograph(quality=100, subsampling=0),
    "optimized": photograph(optimize=True, quality=95),
    "gray": photograph(mode="L"),
    "cmyk": photograph(mode="CMYK"),
    "restarts": photograph(restart_marker_rows=1),
    "restart after each block": photograph(restart_marker_blocks=1),
    "progressive": photograph(progressive=True),
    "gray progressive": photograph(mode="L", progressive=True),
    "bytes after the end": photograph() + bytes(5000),
    "fill bytes before a marker": photograph().replace(b"\xff\xd9", b"\xff\xff\xff\xd9"),
    "comment": photograph(comment=b"x" * 60_000),
    "icc profile": photograph(icc_profile=bytes(200_000)),
    "exif bomb": exif_bomb(),
    "png with a long text": png(60, 40, 8, 2, (b"zTXt", b"k\0\0" + zlib.compress(bytes(900_000)))),
    "png with texts of 3 MB": png(
        60,
        40,
        8,
        2,
        *[(b"zTXt", b"k\0\0" + zlib.compress(np.random.default_rng(n).bytes(1_500_000))) for n in (1, 2)],
    ),
    "png with a huge profile": png(60, 40, 8, 2, (b"iCCP", b"k\0\0" + zlib.compress(bytes(3_000_000)))),
    "jpeg without its last two bytes": photograph()[:-2],
    "progressive jpeg without its last two bytes": photograph(progressive=True)[:-2],
    "gray progressive jpeg without its last byte": photograph(mode="L", progressive=True)[:-1],
    "tiff": photograph("TIFF"),
    "tiff packed by lzw": photograph("TIFF", compression="tiff_lzw"),
    "tiff with jpeg data": photograph("TIFF", compression="jpeg"),
    "black and white tiff": photograph("TIFF", "1", compression="group4"),
}
