"""Reads the structure of a JPEG (ITU-T T.81): its frame, its scans and what is missing of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import bounds
from .bounds import ImageRefused
from .source import Source

START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
HUFFMAN_TABLES, RESTART_INTERVAL, COMMENT = 0xC4, 0xDD, 0xFE
APP1, APP14, APP15 = 0xE1, 0xEE, 0xEF
JPEG_LS = 0xF7
WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
FRAMES = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
ARITHMETIC = (0xC9, 0xCA)

EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"

# The decoder reads up to 8 bytes ahead of the last bit that it needs.
PADDING, OTHER_PADDING = bytes(16), b"\x55" * 16
END = b"\xff\xd9"

# No photograph has so many zero bits where a zero bit stands for a coefficient.
DAMAGE = bytes(64)

COEFFICIENTS = 64
_UNKNOWN = -1

_marker = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
# Without a `+`, for which it would take ten times as long.
_end_of_data = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_restart = re.compile(rb"\xff([\xd0-\xd7])")


@dataclass(frozen=True)
class Scan:
    """A part of the data: of which components, and where it lies in the file.

    :param spectrum: first and last coefficient.
    :param high: the bit position that an earlier scan reached; 0 where there was none.
    :param low: the one that this scan reaches; 0 is the last.
    """

    start: int
    data: int
    end: int
    components: tuple[int, ...]
    ac_table: int
    spectrum: tuple[int, int]
    high: int
    low: int


@dataclass
class Structure:
    """What the segments of a JPEG say.

    :param kept: where the segments before the first scan lie that matter for the pixels.
    :param sampling: of each component, horizontally and vertically.
    :param restart_interval: in minimum coded units; 0 without restarts.
    :param first_symbols: of each AC Huffman table, the symbol whose code is all zero bits.
    """

    kind: int = 0
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    scans: list[Scan] = field(default_factory=list)
    kept: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0
    has_end: bool = False
    restart_interval: int = 0
    first_symbols: dict[int, int] = field(default_factory=dict)
    exif: bytes = b""
    xmp: bytes = b""

    @property
    def is_one_scan(self) -> bool:
        return self.kind in SEQUENTIAL and len(self.scans[0].components) == len(self.sampling)

    @property
    def samples_per_pixel(self) -> float:
        across, down = self._largest_sampling
        return sum(x * y for x, y in self.sampling.values()) / (across * down)

    @property
    def mcus(self) -> int:
        """The number of minimum coded units of a scan with all components."""
        across, down = self._largest_sampling if len(self.sampling) > 1 else (1, 1)
        return -(-self.width // (8 * across)) * -(-self.height // (8 * down))

    @property
    def _largest_sampling(self) -> tuple[int, int]:
        return max(x for x, _ in self.sampling.values()), max(y for _, y in self.sampling.values())


def read(content: bytes) -> Source:
    """Return what to decode of a JPEG.

    Metadata are left out: EXIF data of 64 KB can name the same 64 KB thousands of times, and Pillow copies
    each of them. Where the image comes in one scan, the end-of-image marker is left out too: at the marker
    libjpeg fills what is missing with gray and tells nobody, while without it the file counts as truncated. So an image
    whose last few bytes were cut off is decoded, and one that lacks more is refused. An image in several scans that
    lacks its end is decoded if no pixel depends on what is missing.

    :raises ImageRefused: the variant is not supported, or the structure is damaged.
    """
    structure = read_structure(content)
    first = structure.scans[0]
    kept = [b"\xff\xd8", *(content[start:end] for start, end in structure.kept)]
    coefficient_bytes = 0.0
    other_end = b""
    if structure.is_one_scan:
        _check_restarts(structure, content)
        _check_zeros(structure, content)
        kept += [content[first.start : first.end], PADDING]
    else:
        if structure.kind == PROGRESSIVE:
            _check_progression(structure)
        kept.append(content[first.start : structure.end])
        if not structure.has_end:
            kept[-1] = kept[-1].rstrip(b"\xff")
            other_end = b"".join([*kept, OTHER_PADDING, END])
            kept += [PADDING, END]
        coefficient_bytes = 2 * structure.samples_per_pixel  # of all pixels, until the last scan is read
    return Source(
        "JPEG",
        b"".join(kept),
        max(bounds.BYTES_PER_PIXEL, bounds.BYTES_PER_PIXEL / 2 + coefficient_bytes)
        + (bounds.BYTES_PER_PIXEL if other_end else 0),
        1 if structure.is_one_scan else len(structure.scans),
        structure.is_one_scan,
        structure.exif,
        structure.xmp,
        other_end,
    )


def read_structure(content: bytes) -> Structure:
    found = Structure(end=len(content))
    for marker, start, end in segments(content):
        body = content[start + 4 : end]
        if marker == END_OF_IMAGE:
            found.end, found.has_end = end, True
            break
        if marker in FRAMES:
            _read_frame(found, marker, body)
        elif marker == HUFFMAN_TABLES:
            found.first_symbols |= _first_ac_symbols(body)
        elif marker == RESTART_INTERVAL:
            found.restart_interval = int.from_bytes(body[:2], "big")
        elif marker == APP1 and body.startswith(EXIF):
            found.exif = found.exif or body
        elif marker == APP1 and body.startswith(XMP):
            found.xmp = found.xmp or body
        elif marker == JPEG_LS:
            raise ImageRefused("is a JPEG-LS image; save it as a baseline JPEG")
        elif marker == START_OF_SCAN:
            found.scans.append(_read_scan(found, body, start, end, content))
            if len(found.scans) > bounds.MAX_SCANS:
                raise ImageRefused(f"has more than {bounds.MAX_SCANS} scans; save it as a baseline JPEG")
            if found.is_one_scan:
                break
        if not found.scans and not _is_metadata(marker):
            found.kept.append((start, end))
    if not found.scans:
        raise ImageRefused("is damaged or truncated: it has no image data")
    return found


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, the start and the end of each segment; bytes between two segments are skipped."""
    position, parts = 2, 0
    while match := _marker.search(content, position):
        marker = match[1][0]
        start, position = match.end() - 2, match.end()
        if marker not in (*WITHOUT_LENGTH, END_OF_IMAGE):
            length = int.from_bytes(content[position : position + 2], "big")
            position += length
            if length < 2 or position > len(content):
                raise ImageRefused("is damaged or truncated: a segment of its header is cut off")
        yield marker, start, position
        if marker == START_OF_SCAN:
            end = _end_of_data.search(content, position)
            position = end.start() if end else len(content)
        parts += 1
        if parts > bounds.MAX_PARTS:
            raise ImageRefused(f"is damaged or hostile: it has more than {bounds.MAX_PARTS:,} segments")


def _is_metadata(marker: int) -> bool:
    # APP0 and APP14 say how colors are coded.
    return marker == COMMENT or (APP1 <= marker <= APP15 and marker != APP14)


def _read_frame(found: Structure, marker: int, body: bytes) -> None:
    if found.sampling:
        raise ImageRefused("is damaged: it has two frame headers")
    if len(body) < 6 or len(body) < 6 + 3 * body[5] or not body[5]:
        raise ImageRefused("is damaged: its frame header is cut off")
    precision, components = body[0], body[5]
    if precision != 8:
        raise ImageRefused(f"is a JPEG with {precision} bits a channel; save it with 8")
    if marker not in (*SEQUENTIAL, PROGRESSIVE, *ARITHMETIC):
        raise ImageRefused("is a lossless or hierarchical JPEG; save it as a baseline JPEG")
    found.kind = marker
    found.height, found.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    for position in range(6, 6 + 3 * components, 3):
        found.sampling[body[position]] = (body[position + 1] >> 4, body[position + 1] & 15)
    if len(found.sampling) < components or not all(1 <= n <= 4 for xy in found.sampling.values() for n in xy):
        raise ImageRefused("is damaged: its frame header contradicts itself")
    if components not in (1, 3, 4):
        raise ImageRefused(f"is a JPEG with {components} channels; only 1, 3 and 4 can be decoded")
    if not found.width or not found.height:
        raise ImageRefused(f"is damaged: it has {found.width} x {found.height} pixels")


def _read_scan(found: Structure, body: bytes, start: int, end: int, content: bytes) -> Scan:
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count or not count:
        raise ImageRefused("is damaged: a scan header is cut off")
    components = tuple(body[1 : 1 + 2 * count : 2])
    if not set(components) <= set(found.sampling):
        raise ImageRefused("is damaged: a scan is of a channel that the image doesn't have")
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    data_end = _end_of_data.search(content, end)
    return Scan(
        start=start,
        data=end,
        end=data_end.start() if data_end else len(content),
        components=components,
        ac_table=body[2] & 15,
        spectrum=(first, last),
        high=bits >> 4,
        low=bits & 15,
    )


def _first_ac_symbols(body: bytes) -> dict[int, int]:
    """Return the first symbol of each AC table, which has the code of zero bits alone."""
    found, position = {}, 0
    while position + 17 < len(body):
        table, symbols = body[position], sum(body[position + 1 : position + 17])
        if table >> 4 and symbols:
            found[table & 15] = body[position + 17]
        position += 17 + symbols
    return found


def _check_restarts(found: Structure, content: bytes) -> None:
    """Raise if restart markers are missing: libjpeg goes on at the next one, and leaves a gap."""
    if not found.restart_interval:
        return
    scan = found.scans[0]
    numbers = [match[1][0] & 7 for match in _restart.finditer(content, scan.data, scan.end)]
    expected = -(-found.mcus // found.restart_interval) - 1
    # Some encoders write one after the last interval too.
    if len(numbers) not in (expected, expected + 1) or numbers != [n % 8 for n in range(len(numbers))]:
        raise ImageRefused(
            f"is damaged: it has {len(numbers):,} restart markers of {expected:,}, or not in their order"
        )


def _check_zeros(found: Structure, content: bytes) -> None:
    """Raise if a part of the data was overwritten by zeros, as a gap in a file reads."""
    scan = found.scans[0]
    # A symbol's low four bits are the size of a coefficient. 0 ends a block: then zeros are an even area.
    if found.first_symbols.get(scan.ac_table, 0) & 15:
        position = content.find(DAMAGE, scan.data, scan.end)
        if position >= 0:
            raise ImageRefused(f"is damaged: its image data at byte {position:,} are overwritten by zeros")


def _check_progression(found: Structure) -> None:
    """Raise if a scan is missing: each coefficient has to come with all its bits.

    A gap within one scan is not found.
    """
    reached = {component: [_UNKNOWN] * COEFFICIENTS for component in found.sampling}
    for scan in found.scans:
        first, last = scan.spectrum
        if not first <= last < COEFFICIENTS:
            raise ImageRefused("is damaged: a scan header contradicts itself")
        for component in scan.components:
            bits = reached[component]
            if any(bits[n] != (scan.high if scan.high else _UNKNOWN) for n in range(first, last + 1)):
                raise ImageRefused("is damaged: a scan is missing or comes twice")
            bits[first : last + 1] = [scan.low] * (last + 1 - first)
    if any(any(bits) for bits in reached.values()):
        raise ImageRefused("is damaged or truncated: its last scans are missing")
