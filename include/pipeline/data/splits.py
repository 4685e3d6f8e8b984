"""Which folders' names mean train, valid or test."""

from __future__ import annotations

import re

SPLITS = ("train", "valid", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}
_SUFFIXES = ("", "s", "set", "data", "images", "imgs")
_PARTS = {f"{name}{suffix}": split for name, split in SPLIT_NAMES.items() for suffix in _SUFFIXES}
_word = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def exact_split(name: str) -> str | None:
    """Return the split that a folder's name is, in capitals or not."""
    return SPLIT_NAMES.get(name.strip().lower())


def contained_split(name: str) -> str | None:
    """Return the one split that a word of a folder's name is: train of ``seg_train``, ``train2017``, ``TrainImages``.

    None for a name with no such word, as ``contest``, and for one with words of two splits.
    """
    found = {_PARTS[word.lower()] for word in _word.findall(name) if word.lower() in _PARTS}
    return found.pop() if len(found) == 1 else None
