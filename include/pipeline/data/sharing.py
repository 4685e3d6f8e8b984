"""Shares images out to train, valid and test by a rule that holds when the data grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from include.pipeline.data.image_check import CheckedImage
from include.pipeline.data.splits import SPLITS
from include.pipeline.settings import Shares


def carve(
    images: Sequence[CheckedImage],
    pairs: Sequence[tuple[CheckedImage, CheckedImage]],
    shares: Shares,
    splits: Sequence[str],
) -> Iterator[tuple[str, CheckedImage]]:
    """Yield each image with its ``<split>/<class>/<file>``.

    A split that the source lacks is taken from train, in the proportion of their shares; all of them where the source
    has no splits.

    :param splits: those that the source has, with which the images' paths then begin.
    """
    if not splits:
        for image, split in share_out(images, pairs, _ranges(shares, SPLITS)):
            yield f"{split}/{image.path}", image
        return
    wanted = [split for split in SPLITS if split == "train" or split not in splits]
    train = [image for image in images if wanted != ["train"] and image.path.startswith("train/")]
    inside = {image.path for image in train}
    near = [pair for pair in pairs if pair[0].path in inside and pair[1].path in inside]
    for image, split in share_out(train, near, _ranges(shares, wanted)):
        yield f"{split}/{image.path.removeprefix('train/')}", image
    for image in images:
        if image.path not in inside:
            yield image.path, image


def share_out(
    images: Sequence[CheckedImage],
    pairs: Sequence[tuple[CheckedImage, CheckedImage]],
    ranges: dict[str, tuple[float, float]],
) -> Iterator[tuple[CheckedImage, str]]:
    """Yield each image with its split.

    The first 64 bits of the image's SHA-256, as a fraction, decide; so every class is split in about the same
    shares, and an image stays where it is when others come. Images that look the same go together, by the smallest
    of their digests. Where a class would have none in valid or test, the one whose fraction is nearest goes there.

    :param images: with paths as ``[train/]<class>/<file>``.
    :param pairs: those of them that look the same.
    :param ranges: the fractions that belong to each split.
    """
    keys = _keys(images, pairs)
    splits = {key: _split(_fraction(key), ranges) for key in set(keys.values())}
    by_class: defaultdict[str, set[str]] = defaultdict(set)
    for image in images:
        by_class[image.path.removeprefix("train/").split("/")[0]].add(keys[image.sha256])
    for label in sorted(by_class):
        for wanted in (*(split for split in ranges if split != "train"), "train"):
            _fill(wanted, ranges[wanted], sorted(by_class[label]), splits)
    for image in images:
        yield image, splits[keys[image.sha256]]


def _ranges(shares: Shares, splits: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return where each split begins and ends, of the interval from 0 to 1."""
    whole = sum(getattr(shares, split) for split in splits)
    ranges: dict[str, tuple[float, float]] = {}
    start = 0.0
    for split in splits:
        end = start + getattr(shares, split) / whole
        ranges[split] = (start, end)
        start = end
    return ranges


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
    # The last end may be a little less than 1.
    return next((split for split, (_, end) in ranges.items() if fraction < end), list(ranges)[-1])


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
