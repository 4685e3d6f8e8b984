"""Finds out what each file of a source is: an image of a class, an image that can't be used, or no image at all."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from include.classifier.image_classifier.image_files import (
    ARCHIVE_EXTENSIONS,
    CONVERTED_EXTENSIONS,
    EXTENSIONS,
    UNREAD_EXTENSIONS,
    extension,
    is_litter,
)
from include.pipeline.data.errors import LayoutError
from include.pipeline.data.folders import Folder, Outside, Reading, Slot, read_folders
from include.pipeline.data.image_check import SetAside
from include.pipeline.data.splits import SPLITS

TREE_LINES = 10
IMAGE_EXTENSIONS = frozenset((*EXTENSIONS, *CONVERTED_EXTENSIONS, *UNREAD_EXTENSIONS))
LITTER = "it is what an operating system or a tool left there"


@dataclass(frozen=True)
class Layout:
    """Where the images of a source lie, and what becomes of every other file."""

    places: dict[str, str]
    """The member's path of each ``<split>/<class>/<file>``; without splits of each ``<class>/<file>``."""
    class_folders: set[tuple[str, str]]
    """Every (split, class) that has a folder, with images or without; the split is empty where there are none."""
    has_splits: bool
    misplaced: list[SetAside] = field(default_factory=list)
    """Images that can't be used because of where they lie or of their format."""
    ignored: list[SetAside] = field(default_factory=list)
    """Files that are not meant as images of this data set."""
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The number of files of the source by split and class; both are empty for those outside of all classes."""
    sentence: str = ""
    """How the folders were read."""
    tree: list[str] = field(default_factory=list)
    """The same as a tree of a few lines."""
    pattern: str = ""
    """What ``data.layout`` would be to read them like this."""
    notes: list[str] = field(default_factory=list)
    """Sentences on names that were read otherwise than they are written."""

    @property
    def splits(self) -> list[str]:
        """The splits that the source has."""
        found = {path.split("/", 1)[0] for path in self.places} if self.has_splits else set()
        return [split for split in SPLITS if split in found]

    def class_of(self, place: str) -> tuple[str, str]:
        """Return split and class of a place; the split is empty where there are none."""
        first, second = place.split("/", 2)[:2]
        return (first, second) if self.has_splits else ("", first)


def find_layout(
    files: Mapping[str, int], folders: Iterable[str], layout: str | None = None, notes: Sequence[str] = ()
) -> Layout:
    """Find train, valid and test, or else the folders of the classes, wherever they lie in a source.

    :param files: the size of each file by its path, and ``folders`` those that the source names.
    :param layout: ``data.layout``.
    :param notes: sentences on how names were read, which are kept with the layout.
    :raises LayoutError: if there are no classes, or the folders can be read in two ways.
    """
    copies = _copies(files)
    counts: Counter[Folder] = Counter()
    for path in files:
        if path not in copies and is_image(path) and not is_litter(path):
            counts[_folder(path)] += 1
    if not counts:
        raise LayoutError(_no_images(files))
    reading = read_folders(counts, layout)
    made = _Files(reading)
    for path in files:
        made.add(path, copies.get(path))
    class_folders = {slot for slot in made.classes if slot[1]}
    holding = {_folder(path) for path in files if not is_litter(path)}
    filled = {folder[:n] for folder in holding for n in range(1, len(folder) + 1)}
    for folder in folders:
        parts = tuple(folder.strip("/").split("/"))
        if not is_litter(folder) and parts not in filled and (found := reading.class_of(parts)):
            class_folders.add(found)
    return Layout(
        made.places,
        class_folders,
        bool(reading.splits),
        made.excluded,
        made.ignored,
        made.found,
        _sentence(reading, class_folders),
        _tree(reading, counts),
        reading.pattern,
        list(notes),
    )


class _Files:
    """Sorts files, each into exactly one of three kinds."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.places: dict[str, str] = {}
        self.excluded: list[SetAside] = []
        self.ignored: list[SetAside] = []
        self.found: Counter[tuple[str, str]] = Counter()
        self.classes: set[tuple[str, str]] = set()

    def add(self, path: str, copy_of: str | None) -> None:
        slot = self._slot(_folder(path))
        of = (slot.split, slot.label if isinstance(slot, Slot) else "") if slot else ("", "")
        self.found[of] += 1
        if is_litter(path):
            self.ignored.append(SetAside(path, LITTER, *of))
        elif copy_of is not None:
            self.ignored.append(SetAside(path, f"it has the path and the size of {copy_of}", *of))
        elif not is_image(path):
            self.ignored.append(SetAside(path, _not_an_image(path), *of))
        elif not isinstance(slot, Slot):
            assert slot is not None  # each folder with an image was read
            (self.excluded if slot.excluded else self.ignored).append(SetAside(path, slot.reason, *of))
        else:
            self.classes.add(of)
            if extension(path) in UNREAD_EXTENSIONS:
                reason = f"the format {extension(path)} is not read; convert it to JPEG or PNG"
                self.excluded.append(SetAside(path, reason, *of))
            else:
                file = path.rpartition("/")[2]
                if extension(path) in CONVERTED_EXTENSIONS:
                    file += ".png"
                place = "/".join([*([slot.split] if slot.split else []), slot.label, *slot.inner, file])
                while place in self.places:  # 1.heic beside 1.heic.png
                    stem, dot, ending = place.rpartition(".")
                    place = f"{stem}_{dot}{ending}"
                self.places[path if place == path else place] = path  # one text where they are equal

    def _slot(self, folder: Folder) -> Slot | Outside | None:
        slots = self._reading.slots
        while folder and folder not in slots:
            if not is_litter("/".join(folder)) and (found := self._reading.class_of(folder)):
                return Slot(*found)
            folder = folder[:-1]  # without images: it belongs to the folder that it lies in
        return slots.get(folder)


def _folder(path: str) -> Folder:
    return _parts(path.rpartition("/")[0])


@functools.lru_cache(maxsize=1_000)
def _parts(folder: str) -> Folder:
    return tuple(folder.split("/")) if folder else ()


def is_image(path: str) -> bool:
    """Return whether a file was meant as an image, by the ending of its name."""
    return extension(path) in IMAGE_EXTENSIONS


def may_hold_images(path: str) -> bool:
    """Return whether a file is an image or an archive, by the ending of its name."""
    return is_image(path) or extension(path) in ARCHIVE_EXTENSIONS


def _not_an_image(path: str) -> str:
    ending = extension(path)
    if ending in ARCHIVE_EXTENSIONS:
        return "it is an archive in the source, which is not unpacked"
    return f"{ending} is not the ending of an image" if ending else "its name has no ending of an image"


def _no_images(files: Mapping[str, int]) -> str:
    endings = Counter(extension(path) or "no ending" for path in files if not is_litter(path))
    listed = ", ".join(f"{count:,} with {ending}" for ending, count in endings.most_common(4))
    has = f"It has {len(files):,} files: {listed}." if endings else "It has no files."
    if files and not endings:
        has = f"All of its files are what systems and tools leave; the first is {next(iter(files))}."
    return (
        f"The data set has no images. {has} Sort images into one folder per class; images are files that end in "
        f"{', '.join(EXTENSIONS[:3])} and so on."
    )


def _copies(files: Mapping[str, int]) -> dict[str, str]:
    """Images in a folder within one of the same name, all of which are in the outer one too: packed twice."""
    twins = defaultdict(list)
    for path in files:
        parts = path.split("/")
        for depth in range(1, len(parts) - 1):
            if parts[depth] == parts[depth - 1]:
                twins["/".join(parts[: depth + 1])].append(path)
    found: dict[str, str] = {}
    for folder, paths in twins.items():
        outer = folder.rpartition("/")[0]
        pairs = {path: outer + path.removeprefix(folder) for path in paths}
        # Images without compression all have the same size, which then proves nothing.
        tells = len(paths) == 1 or len({files[path] for path in paths}) > 1
        if tells and all(files.get(other) == files[path] for path, other in pairs.items()):
            found |= pairs
    return found


def _sentence(reading: Reading, class_folders: set[tuple[str, str]]) -> str:
    classes = len({label for _, label in class_folders})
    of_classes = f"{classes} class{'es' if classes != 1 else ''}"
    if not reading.splits:
        where = sorted(reading.split_folders)
        below = f" in {'/'.join(where[0])}" if where and where[0] else ""
        return f"No folders of splits; {of_classes}{below}"
    named = [
        f"{split} ({'/'.join(folder)})"
        for split in SPLITS
        for folder, of in sorted(reading.split_folders.items())
        if of == split
    ] or reading.splits
    number = len(reading.splits)
    return f"{number} split{'s' if number != 1 else ''}: {', '.join(named)}; {of_classes}"


def _tree(reading: Reading, counts: Mapping[Folder, int]) -> list[str]:
    """What the folders were taken for, in at most ten lines."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for folder, count in counts.items():
        slot = reading.slots[folder]
        if isinstance(slot, Slot):
            rows[slot.split][slot.label] += count
        else:
            rows["not used"]["/".join(folder) or "the outermost folder"] += count
    heads = [head for head in ("", *SPLITS) if head in rows]
    each = (TREE_LINES - 1 - 2 * len(heads)) // len(heads)
    lines = []
    for head in heads:
        folders = ["/".join(f) for f, split in sorted(reading.split_folders.items()) if split == head and f]
        lines.append(f"{head or 'classes'}{' in ' + folders[0] if folders else ''}")
        shown = sorted(rows[head].items())
        each_here = each + 1 if len(shown) == each + 1 else each
        lines += [f"  {label}/ {_images(count)}" for label, count in shown[:each_here]]
        if len(shown) > each_here:
            rest = sum(count for _, count in shown[each_here:])
            lines.append(f"  and {len(shown) - each_here:,} more {_images(rest)}")
    if "not used" in rows:
        outside = rows["not used"]
        most = outside.most_common(1)[0][0] + (f" and {len(outside) - 1:,} more" if len(outside) > 1 else "")
        lines.append(f"not used: {most} {_images(outside.total())}")
    return lines


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count != 1 else ''}"
