"""Proves that no file of a source disappeared: found = used + excluded + ignored, by split and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from include.pipeline.data.image_check import CheckedImage, SetAside
from include.pipeline.data.layout import Layout


class Row(NamedTuple):
    """What became of the files of a class.

    :param split: the split that the source has them in; empty where it has none.
    :param label: the class; empty for files outside of all classes.
    """

    split: str
    label: str
    found: int
    used: int
    excluded: int
    ignored: int


class AccountingError(Exception):
    """A file is unaccounted for, which is a fault of the data check."""


def account(layout: Layout, images: Iterable[CheckedImage], excluded: Iterable[SetAside]) -> list[Row]:
    """Return what became of all files, a row for each split and class.

    :param images: those that are used, by their places in the layout, and ``excluded`` all that could not be used.
    :raises AccountingError: if the sums of a row differ.
    """
    used = Counter(layout.class_of(image.path) for image in images)
    out = Counter((one.split, one.label) for one in excluded)
    ignored = Counter((one.split, one.label) for one in layout.ignored)
    rows = []
    for of in sorted({*layout.found, *used, *out, *ignored}):
        row = Row(*of, layout.found[of], used[of], out[of], ignored[of])
        if row.found != row.used + row.excluded + row.ignored:
            raise AccountingError(
                f"Of {row.found:,} files in {'/'.join(filter(None, of)) or 'no class'}, {row.used:,} are used, "
                f"{row.excluded:,} are excluded and {row.ignored:,} are ignored. This is a fault of the data check."
            )
        rows.append(row)
    return rows
