"""Shares images out to train, valid and test by a rule that holds when the data grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from include.pipeline.data.image_check import CheckedImage
from include.pipeline.settings import Shares


def share_out(
    images: Sequence[CheckedImage], pairs: Sequence[tuple[CheckedImage, CheckedImage]], shares: Shares
) -> Iterator[tuple[CheckedImage, str]]:
    """Yield each image with its split.

    The first 64 bits of the image's SHA-256, as a fraction, decide; so every class is split in about the same
    shares, and an image stays where it is when others come. Images that look the same go together, by the smallest
    of their digests. Where a class would have none in valid or test, the one whose fraction is nearest goes there.

    :param images: with paths as ``<class>/<file>``.
    :param pairs: those of them that look the same.
    """
    keys = _keys(images, pairs)
    ranges = {
        "train": (0.0, shares.train),
        "valid": (shares.train, shares.train + shares.valid),
        "test": (shares.train + shares.valid, 1.0),
    }
    splits = {key: _split(_fraction(key), ranges) for key in set(keys.values())}
    by_class: defaultdict[str, set[str]] = defaultdict(set)
    for image in images:
        by_class[image.path.split("/")[0]].add(keys[image.sha256])
    for label in sorted(by_class):
        for wanted in ("valid", "test", "train"):
            _fill(wanted, ranges[wanted], sorted(by_class[label]), splits)
    for image in images:
        yield image, splits[keys[image.sha256]]


def _keys(
    images: Sequence[CheckedImage], pairs: Sequence[tuple[CheckedImage, CheckedImage]]
) -> dict[str, str]:
    """For each digest the smallest one among the images that look the same."""
    keys = {image.sha256: image.sha256 for image in images}

    def root(digest: str) -> str:
        while keys[digest] != digest:
            digest = keys[digest]
        return digest

    for one, other in pairs:
        low, high = sorted((root(one.sha256), root(other.sha256)))
        keys[high] = low
    return {digest: root(digest) for digest in keys}


def _fraction(digest: str) -> float:
    return int(digest[:16], 16) / 2**64


def _split(fraction: float, ranges: dict[str, tuple[float, float]]) -> str:
    return next((split for split, (_, end) in ranges.items() if fraction < end), "test")


def _fill(wanted: str, place: tuple[float, float], keys: list[str], splits: dict[str, str]) -> None:
    """See that one of a class's keys is in the wanted split, if another split can spare it."""
    if any(splits[key] == wanted for key in keys):
        return
    held = [splits[key] for key in keys]
    spare = [key for key in keys if held.count(splits[key]) > 1]
    if spare:
        start, end = place
        nearest = min(spare, key=lambda key: max(start - _fraction(key), _fraction(key) - end, 0.0))
        splits[nearest] = wanted
