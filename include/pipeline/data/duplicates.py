"""Finds images that are the same, by their bytes and by what they look like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from include.pipeline.data.image_check import LOOK_SIDE, CheckedImage

# See near_pairs for what was measured with these.
MAX_DISTANCE = 10
MIN_CORRELATION = 0.95
MIN_CONTRAST = 4.0
ROWS_AT_ONCE = 64


def equal_groups(images: Sequence[CheckedImage]) -> list[list[CheckedImage]]:
    """Images with the same bytes, two or more in each group, sorted by path."""
    groups: defaultdict[str, list[CheckedImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.path):
        groups[image.sha256].append(image)
    return [group for group in groups.values() if len(group) > 1]


def near_pairs(images: Sequence[CheckedImage]) -> list[tuple[CheckedImage, CheckedImage]]:
    """Pairs of images that look the same and differ in their bytes, sorted by path.

    Two images do if their perceptual hashes differ in at most 10 of 64 bits and their luminance on a grid of
    32 x 32 pixels correlates by at least 0.95. The hash is the sign of the 64 lowest frequencies against their
    median (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). Pictures with next
    to no contrast are not compared.

    Measured on 1,700 photos of dogs, no two alike: no pair was found, and the most similar one within that
    distance correlates by 0.76. Of their copies were found: saved again at quality 60, 100 %; at half the size,
    100 %; 20 % brighter, 100 %; 2 % cropped, 97 %; mirrored, none.
    """
    ordered = sorted(images, key=lambda image: image.path)
    grids = np.frombuffer(b"".join(image.look for image in ordered), np.uint8)
    grids = grids.reshape(len(ordered), LOOK_SIDE, LOOK_SIDE)
    contrasts = np.array([grid.std() for grid in grids])
    clear = np.flatnonzero(contrasts >= MIN_CONTRAST)
    hashes = _perceptual_hashes(grids[clear])
    pairs = []
    for first in range(0, len(clear), ROWS_AT_ONCE):
        rows = hashes[first : first + ROWS_AT_ONCE, None]
        distances = np.bitwise_count(rows ^ hashes[None, first:])
        for row, column in np.argwhere(distances <= MAX_DISTANCE):
            if column > row:
                a, b = clear[first + row], clear[first + column]
                if (
                    ordered[a].sha256 != ordered[b].sha256
                    and _correlation(grids[a], grids[b]) >= MIN_CORRELATION
                ):
                    pairs.append((ordered[a], ordered[b]))
    return pairs


def _perceptual_hashes(grids: np.ndarray) -> np.ndarray:
    """One number of 64 bits for each grid: shape (n,)."""
    frequencies = np.arange(LOOK_SIDE)[:, None] * (2 * np.arange(LOOK_SIDE)[None, :] + 1)
    cosines = np.cos(np.pi * frequencies / (2 * LOOK_SIDE))[:8]  # the eight lowest rows of a DCT-II
    hashes = np.empty(len(grids), np.uint64)
    for index, grid in enumerate(grids):
        low = (cosines @ grid @ cosines.T).ravel()
        bits = low > np.median(low[1:])  # without the mean brightness, which dwarfs the rest
        bits[0] = False
        hashes[index] = np.packbits(bits).view(np.uint64)[0]
    return hashes


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
