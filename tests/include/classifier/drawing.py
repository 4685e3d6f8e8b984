"""Draws the images that the classifier is tested on, and packs models as SageMaker does."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

Color = tuple[int, int, int]

CLASSES: dict[str, Color] = {"001.Red": (200, 40, 40), "002.Green": (40, 180, 60), "003.Blue": (50, 60, 190)}
IMAGE_SIZE = 64


def draw(color: Color, seed: int = 0, size: tuple[int, int] = (80, 72)) -> Image.Image:
    """Draw a noisy image of one color."""
    noise = np.random.default_rng(seed).integers(-40, 40, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(color) + noise).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A small PNG whose header promises so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_images(root: Path, counts: dict[str, int], classes: dict[str, Color] = CLASSES) -> Path:
    """Write a data set with so many images per class in each split."""
    for split, count in counts.items():
        for label, color in classes.items():
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.jpg").write_bytes(encode(draw(color, seed=number + 100 * len(split))))
    return root


def pack(model_dir: Path, archive_dir: Path) -> Path:
    """Pack a model as SageMaker does, and return the folder that holds model.tar.gz."""
    archive_dir.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive_dir / "model.tar.gz", "w:gz") as archive:
        archive.add(model_dir, arcname=".")
    return archive_dir
