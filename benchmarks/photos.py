"""Generate a reproducible archive of photos of about 22 KB."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

from PIL import Image

SPLITS = ("train",) * 8 + ("valid", "test")
CLASSES = 10


def write_archive(path: Path, images: int) -> None:
    """Write a zip with this number of distinct photos in train, valid and test."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(images):
            split, label = SPLITS[number // CLASSES % len(SPLITS)], number % CLASSES
            archive.writestr(f"photos/{split}/{label:03d}.class/{number:05d}.jpg", _photo(number))


def write_tiny_archive(path: Path, images: int) -> None:
    """Write a zip with so many images of 8 x 8 pixels, to see what each of them costs besides its pixels."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(images):
            split, label = SPLITS[number // CLASSES % len(SPLITS)], number % CLASSES
            archive.writestr(f"photos/{split}/{label:03d}.class/{number:07d}.png", _tiny(number))


def _tiny(seed: int) -> bytes:
    file = io.BytesIO()
    Image.frombytes("L", (8, 8), random.Random(seed).randbytes(64)).save(file, "PNG")
    return file.getvalue()


def _photo(seed: int) -> bytes:
    chance = random.Random(seed)
    blobs = Image.frombytes("RGB", (8, 8), chance.randbytes(192)).resize((256, 256), Image.Resampling.BICUBIC)
    grain = Image.frombytes("L", (256, 256), chance.randbytes(65536)).convert("RGB")
    file = io.BytesIO()
    Image.blend(blobs, grain, 0.13).save(file, "JPEG", quality=85)
    return file.getvalue()
