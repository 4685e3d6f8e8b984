"""Requests and images as a careless or hostile caller would make them, for hypothesis to vary."""

import base64
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.include.classifier.drawing import draw, encode
from tests.include.classifier.heif_files import HEIC
from tests.include.classifier.hostile_images import exif_bomb, photograph

EXAMPLES = int(os.environ.get("FUZZ_REQUESTS", "2000"))


def budget(share: float) -> settings:
    """Return the settings of a test that takes a share of all requests: always the same ones, however slow."""
    return settings(
        max_examples=max(1, round(share * EXAMPLES)),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# What JSON can spell and others stumble over. Texts that are drawn hold such characters too, but seldom.
TRICKY_TEXT = st.sampled_from(
    [
        "\ud800",
        "a\udfffb",
        "\0",
        "a\r\nb: c",
        "../..",
        "%zz",
        " ",
        "é" * 600,
        "x" * 3000,
        "[",
        "[/",
        "\\",
        "{}",
    ]
)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | TRICKY_TEXT
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=5),
    max_leaves=20,
)

_HOSTS = st.sampled_from(
    [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "a",
        "[",
        "[::1",
        "a..b",
        "user:x@a",
        "0x7f.1",
        "ä.b",
        "",
    ]
)
URLS = (
    st.builds(
        lambda scheme, host, port, path: f"{scheme}{host}{port}/{path}",
        st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "//", "file://", "http:/"]),
        _HOSTS | ANY_TEXT,
        st.sampled_from(["", ":80", ":0", ":65536", ":x", ":", ":-1"]),
        ANY_TEXT,
    )
    | ANY_TEXT
)
S3_URIS = st.builds(
    lambda start, key: start + key, st.sampled_from(["s3://pets/dogs/"] * 5 + ["s3://", "s3:/", ""]), ANY_TEXT
)

_SMALL = draw((90, 120, 40), size=(40, 32))
SEEDS = [
    photograph(quality=60),
    photograph(progressive=True, quality=40),
    exif_bomb(20),
    photograph(mode="CMYK", quality=30),
    encode(_SMALL, restart_marker_blocks=2),
    encode(_SMALL, "PNG"),
    encode(_SMALL.convert("RGBA"), "PNG"),
    encode(_SMALL.convert("P"), "PNG", transparency=0),
    encode(_SMALL.convert("L").convert("I;16"), "PNG"),
    encode(_SMALL, "WEBP"),
    encode(_SMALL, "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    encode(_SMALL.convert("P"), "GIF", save_all=True, append_images=[_SMALL.convert("P")], comment=b"x"),
    encode(_SMALL, "BMP"),
    encode(_SMALL.convert("P"), "BMP"),
    encode(_SMALL, "TIFF"),
    encode(_SMALL, "TIFF", compression="tiff_lzw"),
    encode(_SMALL, "TIFF", compression="jpeg"),
    encode(_SMALL.convert("1"), "TIFF", compression="group4"),
    HEIC,
    encode(_SMALL, "AVIF", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    encode(_SMALL.convert("RGBA"), "AVIF", save_all=True, append_images=[_SMALL.convert("RGBA")]),
]


def _change(content: bytes, kind: str, place: int, length: int, value: int) -> bytes:
    start = place % max(1, len(content))
    end = min(len(content), start + length)
    match kind:
        case "flip":
            return (
                content[:start] + bytes([content[start] ^ (value or 1)]) + content[start + 1 :]
                if content
                else b""
            )
        case "cut":
            return content[:start] + content[end:]
        case "truncate":
            return content[:start]
        case "repeat":
            return content[:end] + content[start:end] * (1 + value % 8) + content[end:]
        case _:
            return content[:start] + bytes([value]) * length + content[end:]


# Headers lie in the first bytes, so that is where half of the changes are.
_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "flip", "cut", "truncate", "repeat", "fill"]),
        st.integers(0, 200) | st.integers(0, 2**16),
        st.integers(1, 400),
        st.integers(0, 255),
    ),
    max_size=6,
)


@st.composite
def images(draw_from: Any) -> bytes:
    """An image of a supported format with bytes flipped, cut, repeated and overwritten."""
    content: bytes = draw_from(st.sampled_from(SEEDS))
    for kind, place, length, value in draw_from(_CHANGES):
        content = _change(content, kind, place, length, value)
    return content


ITEMS = st.one_of(
    st.fixed_dictionaries({"url": URLS}),
    st.fixed_dictionaries({"s3": S3_URIS}),
    st.fixed_dictionaries({"image": images().map(lambda content: base64.b64encode(content).decode())}),
    st.fixed_dictionaries({"image": ANY_TEXT}),
    st.fixed_dictionaries({"url": URLS, "top_k": ANY_JSON}),
    ANY_JSON,
)
DOCUMENTS = ITEMS | st.lists(ITEMS, max_size=4)
CONTENT_TYPES = (
    st.sampled_from(
        [
            "application/json",
            "image/jpeg",
            "image/png",
            "text/csv",
            "application/x-npy",
            "APPLICATION/JSON; a=b",
            "",
        ]
    )
    | ANY_TEXT
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "content-type", "ContentType", "Accept", "X"]) | ANY_TEXT,
    CONTENT_TYPES,
    max_size=3,
)
