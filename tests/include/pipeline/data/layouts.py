"""Layouts of images that lie where they belong, for tests of what comes after the layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from include.pipeline.data.image_check import SetAside
from include.pipeline.data.layout import Layout


def layout_of(places: Iterable[str], left: Iterable[SetAside] = (), has_splits: bool = True) -> Layout:
    """Return the layout of these places, and of files that are set aside when they are looked at."""
    paths = {place: place for place in places}
    made = Layout(paths, set(), has_splits, sentence="3 splits" if has_splits else "No folders of splits")
    made.class_folders.update(made.class_of(place) for place in paths)
    made.found.update(Counter(made.class_of(place) for place in paths))
    made.found.update((one.split, one.label) for one in left)
    return made
