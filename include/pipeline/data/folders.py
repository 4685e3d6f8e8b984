"""Reads what the folders of a data set mean: which is a split, which a class, and which neither.

A reading is used where it is the only sensible one. Where there are two, or where images would be left out without
anyone noticing, an error shows them, and ``data.layout`` of the project file chooses.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from include.pipeline.data.errors import LayoutError
from include.pipeline.data.splits import SPLITS, contained_split, exact_split

Folder = tuple[str, ...]

# Names that say how images were taken or stored, and not what they show: 2021, part_3, images, session 2.
_generic = re.compile(
    r"(?:(?:part|batch|fold|set|session|group|day|week|month|year|shard|chunk|folder|dir|subset|series|round|shoot|"
    r"camera|cam|version|ver|vol|volume|take|run|imgs?|images?|photos?|pictures?|pics?|jpe?g|png|raw|originals?|more|"
    r"extra|others?|misc|new|old|v)(?![a-z]))?[\d\s_.,()-]*",
    re.IGNORECASE,
)
# Of names that are generic, those that may be classes as well: 0, 17, 3_1; not 2021, 2021-05, 20210517.
_number = re.compile(r"(?!.*(?<!\d)(?:19|20)\d\d(?:\d{4})?(?!\d))[\d\s_.,()-]+")
# What tells the folders of a series apart: the end of user_1, setB.
_last_part = re.compile(r"[\W_]*(?:\d+|(?<=[\W_])[A-Za-z]|(?<=[a-z])[A-Z])$")
UNLABELED = ("pred", "predict", "predictions", "unlabeled", "unlabel", "submission", "holdout")


@dataclass(frozen=True)
class Slot:
    """What a folder's images are.

    :param split: the split that the folder's path names; empty where it names none.
    :param label: the class.
    :param inner: folders to keep in the path, so that two images of one name stay two.
    """

    split: str
    label: str
    inner: Folder = ()


@dataclass(frozen=True)
class Outside:
    """Why a folder's images belong to no class, and whether they count as images that could not be used."""

    reason: str
    split: str = ""
    excluded: bool = True


@dataclass
class Reading:
    """What every folder with images in it means, and the sentence that says so."""

    slots: dict[Folder, Slot | Outside]
    pattern: str
    split_folders: dict[Folder, str] = field(default_factory=dict)
    """The folders that hold the classes of a split, or of all splits: then of the name ''."""

    @property
    def splits(self) -> list[str]:
        found = {slot.split for slot in self.slots.values() if isinstance(slot, Slot) and slot.split}
        return [split for split in SPLITS if split in found]

    @property
    def classes(self) -> list[str]:
        return sorted({slot.label for slot in self.slots.values() if isinstance(slot, Slot)})

    def class_of(self, folder: Folder) -> tuple[str, str] | None:
        """Return split and class of a folder that lies where a class's folder lies, whether it has images or not."""
        split = self.split_folders.get(folder[:-1])
        return None if split is None or not folder else (split, folder[-1])


def read_folders(counts: Mapping[Folder, int], layout: str | None = None) -> Reading:
    """Read what folders mean.

    :param counts: the number of images that lie directly in each folder, from the source's root.
    :param layout: ``data.layout``.
    :raises LayoutError: if there is no reading, or more than one.
    """
    if layout:
        return _by_pattern(counts, layout)
    parents = _split_parents(counts)
    if parents:
        return _with_splits(counts, parents)
    return _splits_in_classes(counts) or _without_splits(counts)


def _by_pattern(counts: Mapping[Folder, int], layout: str) -> Reading:
    parts = layout.strip("/").split("/")
    slots: dict[Folder, Slot | Outside] = {}
    stars: defaultdict[str, set[Folder]] = defaultdict(set)
    for folder in counts:
        matched = _matched(folder, parts)
        slots[folder] = matched or Outside(
            f"data.layout, {layout}, does not match its folder", excluded=False
        )
        if matched:
            stars[matched.split].add(matched.inner[: parts.count("*")])
    if not any(isinstance(slot, Slot) for slot in slots.values()):
        raise LayoutError(f"data.layout is {layout}, but no folder with images matches it. {_seen(counts)}")
    split_folders = {}
    for folder, slot in slots.items():
        if isinstance(slot, Slot):
            if len(stars[slot.split]) == 1:
                slots[folder] = Slot(slot.split, slot.label, slot.inner[parts.count("*") :])
            if parts[-1] == "{class}":
                split_folders[folder[: len(parts) - 1]] = slot.split
    return Reading(slots, layout, split_folders)


def _matched(folder: Folder, parts: list[str]) -> Slot | None:
    if len(folder) < len(parts):
        return None
    split, label, stars = "", "", []
    for name, part in zip(folder, parts, strict=False):
        if part == "{class}":
            label = name
        elif part == "{split}":
            found = contained_split(name)
            if found is None or split not in ("", found):
                return None
            split = found
        elif part == "*":
            stars.append(name)
        elif part != name:
            return None
    return Slot(split, label, (*stars, *folder[len(parts) :]))


# Folders of splits


def _split_parents(counts: Mapping[Folder, int]) -> list[dict[Folder, str]]:
    """The folders of splits, by the folder that they lie in: the outermost ones, in which classes have folders."""
    children: defaultdict[Folder, set[str]] = defaultdict(set)
    for folder in counts:
        for depth in range(len(folder)):
            children[folder[:depth]].add(folder[depth])

    def search(node: Folder) -> Iterator[dict[Folder, str]]:
        names = sorted(children[node])
        exact = {name: split for name in names if (split := exact_split(name))}
        alike = {name: split for name in names if (split := contained_split(name))}
        chosen: dict[str, str] = {}
        if any(children[(*node, name)] for name in exact):
            # A name that only contains a split's counts beside the exact ones if it is of another split.
            chosen = exact | {n: s for n, s in alike.items() if s not in exact.values()}
        elif len(set(alike.values())) > 1 and "train" in alike.values():
            chosen = alike if any(children[(*node, name)] for name in alike) else {}
        if chosen:
            yield {(*node, name): split for name, split in chosen.items()}
        for name in names:
            if name not in chosen:
                yield from search((*node, name))

    return list(search(()))


def _with_splits(counts: Mapping[Folder, int], parents: list[dict[Folder, str]]) -> Reading:
    splits = {folder: split for parent in parents for folder, split in parent.items()}
    by_split: defaultdict[str, list[Folder]] = defaultdict(list)
    for folder, split in sorted(splits.items()):
        by_split[split].append(folder)
    for split, folders in by_split.items():
        if len(folders) > 1:
            raise LayoutError(
                f"The data set has the {split} split twice: in {' and in '.join(_shown(f) for f in folders[:2])}. "
                f"Remove one, or set data.layout to the one that is meant, such as {_example(folders[0])}."
            )
    if "train" not in by_split:
        found = " and ".join(_shown(folder) for folder in splits)
        raise LayoutError(
            f"The data set has no train split: only {found}. Add train, with one folder of images per class, or "
            f"leave the splits out, and keep one folder of images per class: images are then assigned to splits. "
            f"If {next(reversed(next(iter(splits))))} is no split here, set data.layout to {_example((), splits)}."
        )
    scopes: dict[Folder, dict[Folder, int]] = {folder: {} for folder in splits}
    slots: dict[Folder, Slot | Outside] = {}
    rest: dict[Folder, int] = {}
    for folder, count in counts.items():
        root = next((folder[:n] for n in range(1, len(folder) + 1) if folder[:n] in splits), None)
        if root is None:
            rest[folder] = count
        else:
            scopes[root][folder[len(root) :]] = count
    heads, level = _read_scopes(scopes, counts, splits)
    for root, inside in scopes.items():
        split = splits[root]
        labeled = any(len(folder) > len(heads[root]) + level for folder in inside)
        for folder in inside:
            below = folder[len(heads[root]) :]
            if len(below) > level and folder[: len(heads[root])] == heads[root]:
                slots[root + folder] = Slot(split, below[level], below[:level] + below[level + 1 :])
            elif not labeled and split != "train":
                slots[root + folder] = Outside(
                    f"{_shown(root)} has no folders of classes, so its images have no class", split, False
                )
            else:
                slots[root + folder] = Outside("it lies in no folder of a class", split)
    labels = {slot.label for slot in slots.values() if isinstance(slot, Slot)}
    slots |= _outside_of_splits(rest, labels, splits)
    of_splits = {root + heads[root]: splits[root] for root in splits} if level == 0 else {}
    stars = max((len(head) for head in heads.values()), default=0) + level
    depths = {(len(root), len(heads[root])) for root in splits}
    top = len(next(iter(splits))) - 1
    pattern = "/".join([*["*"] * top, "{split}", *["*"] * stars, "{class}"]) if len(depths) == 1 else ""
    return Reading(slots, pattern, of_splits)


def _outside_of_splits(
    rest: Mapping[Folder, int], labels: set[str], splits: Mapping[Folder, str]
) -> dict[Folder, Slot | Outside]:
    beside = " and ".join(_shown(folder) for folder in splits)
    slots: dict[Folder, Slot | Outside] = {}
    for folder in rest:
        words = {word for name in folder for word in re.findall(r"[a-z]+", name.lower())}
        if words & set(UNLABELED) and not labels & set(folder):
            slots[folder] = Outside(f"{_shown(folder)} holds images without a class", excluded=False)
        else:
            slots[folder] = Outside(f"it lies outside of {beside}")
    return slots


def _splits_in_classes(counts: Mapping[Folder, int]) -> Reading | None:
    """``<class>/<split>/<file>``, if every class is built like that."""
    head = _common_head(counts)
    inside = {folder[len(head) :] for folder in counts if len(folder) > len(head)}
    if not inside or not all(len(folder) >= 2 and exact_split(folder[1]) for folder in inside):
        return None
    splits = {exact_split(folder[1]) for folder in inside}
    if "train" not in splits or len(splits) < 2:
        return None
    slots: dict[Folder, Slot | Outside] = {}
    for folder in counts:
        below = folder[len(head) :]
        split = exact_split(below[1]) if len(below) > 1 else None
        slots[folder] = (
            Slot(split, below[0], below[2:]) if split else Outside("it lies in no folder of a class")
        )
    return Reading(slots, "/".join([*head, "{class}", "{split}"]))


def _without_splits(counts: Mapping[Folder, int]) -> Reading:
    heads, level = _read_scopes({(): counts}, counts, {})
    head = heads[()]
    slots: dict[Folder, Slot | Outside] = {}
    for folder in counts:
        below = folder[len(head) :]
        if folder[: len(head)] == head and len(below) > level:
            slots[folder] = Slot("", below[level], below[:level] + below[level + 1 :])
        else:
            slots[folder] = Outside("it lies in no folder of a class")
    labels = {slot.label for slot in slots.values() if isinstance(slot, Slot)}
    meant = {exact_split(label) for label in labels} if len(labels) == 1 else {*map(contained_split, labels)}
    if None not in meant and "train" in meant:
        raise LayoutError(
            f"The images lie directly in {_listed(sorted(labels))}, in no folder of a class. Sort them into one folder "
            f"per class. If these are the classes, set data.layout to {'/'.join([*head, '{class}'])}."
        )
    pattern = "/".join([*head, *["*"] * level, "{class}"])
    return Reading(slots, pattern, {head: ""} if level == 0 else {})


# Folders of classes


def _read_scopes(
    scopes: Mapping[Folder, Mapping[Folder, int]],
    counts: Mapping[Folder, int],
    splits: Mapping[Folder, str],
) -> tuple[dict[Folder, Folder], int]:
    """Return the folders in which all of a scope lies, for each scope, and the level of the classes below them."""
    heads: dict[Folder, Folder] = {}
    for root, inside in scopes.items():
        others = {f[0] for other, fs in scopes.items() if other != root for f in fs if f}
        heads[root] = _common_head(inside, others if _several(scopes, others) else set())
    below = [
        folder[len(heads[root]) :]
        for root, inside in scopes.items()
        for folder in inside
        if len(folder) > len(heads[root]) and folder[: len(heads[root])] == heads[root]
    ]
    if not below:
        raise LayoutError(
            f"The images lie in no folder of a class. Sort them into one folder per class. {_seen(counts)}"
        )
    return heads, _class_level(below, heads, counts, splits)


def _several(scopes: Mapping[Folder, object], names: set[str]) -> bool:
    return len(scopes) > 1 and len(names) > 1


def _common_head(folders: Iterable[Folder], classes: Iterable[str] = ()) -> Folder:
    """The chain of folders that hold nothing but the next one. Images beside it are no reason to stop."""
    deep = [folder for folder in folders if folder]
    classes = set(classes)
    head: Folder = ()
    while True:
        names = {folder[len(head)] for folder in deep if len(folder) > len(head)}
        if len(names) != 1 or names & classes:
            return head
        following = (*head, *names)
        # What holds images itself, and no folders, is a class.
        if not any(len(folder) > len(following) for folder in deep):
            return head
        if following in deep:
            # Images beside folders: a class and what belongs to it, or the folders of classes and a stray image.
            inner = {folder[len(following)] for folder in deep if len(folder) > len(following)}
            if all(_is_generic(name) for name in inner):
                return head
        head = following


def _class_level(
    below: list[Folder],
    heads: Mapping[Folder, Folder],
    counts: Mapping[Folder, int],
    splits: Mapping[Folder, str],
) -> int:
    """Return 0 where the outermost folders are the classes, 1 where those in them are.

    :raises LayoutError: if that can't be told.
    """
    tops = {folder[0] for folder in below}
    direct = {folder[0] for folder in below if len(folder) == 1}
    inner: defaultdict[str, set[str]] = defaultdict(set)
    for folder in below:
        if len(folder) > 1:
            inner[folder[0]].add(folder[1])
    names = {name for found in inner.values() for name in found}
    if not inner or set(inner) <= direct:
        return 0  # each folder has images of its own; what lies deeper belongs to it
    are_generic = not tops & direct and all(_is_generic(top) for top in tops)
    are_numbers = all(_is_number(top) for top in tops)
    belong = all(_is_generic(name) or name == top for top in set(inner) - direct for name in inner[top])
    if are_generic and not any(map(_is_generic, names)):
        if not any(map(_is_number, tops)):
            return 1
    elif len(tops) > 1 and len(names) == 1 and (are_numbers or not are_generic):
        return 0  # each class in one more folder of the same name: cat/photos, dog/photos
    elif belong and not (are_generic or _may_be_classes(inner) or (_are_a_series(tops) and names != tops)):
        return 0
    outer, deeper = "{class}", "*/{class}"
    prefix = "{split}/" if splits else ""
    head = "".join("*/" if splits else f"{name}/" for name in max(heads.values(), key=len))
    lost = sum(counts.values()) - sum(
        count for folder, count in counts.items() if _depth(folder, heads, splits) > 1
    )
    left_out = f", which leaves out {lost:,} images" if direct and lost else ""
    raise LayoutError(
        f"The folders can be read in two ways: with {_counted(tops)} ({_listed(sorted(tops))}), or with "
        f"{_counted(names)} ({_listed(sorted(names))}){left_out}. Set data.layout to {prefix}{head}{outer} for the "
        f"first, or to {prefix}{head}{deeper} for the second."
    )


def _depth(folder: Folder, heads: Mapping[Folder, Folder], splits: Mapping[Folder, str]) -> int:
    for root, head in heads.items():
        if folder[: len(root) + len(head)] == root + head:
            return len(folder) - len(root) - len(head)
    return 0


def _is_generic(name: str) -> bool:
    return _generic.fullmatch(name) is not None


def _is_number(name: str) -> bool:
    return _number.fullmatch(name) is not None


def _may_be_classes(inner: Mapping[str, set[str]]) -> bool:
    """Return whether the same numbers lie in several folders: left/0, left/1, right/0, right/1."""
    repeated = Counter(name for found in inner.values() for name in found if _is_number(name))
    return sum(count > 1 for count in repeated.values()) > 1


def _are_a_series(names: set[str]) -> bool:
    """Return whether names differ only in a number or a letter at their end, as people and batches are named."""
    stems = {_last_part.sub("", name).lower() for name in names}
    return len(names) > 1 and len(stems) == 1 and stems != {""}


def _counted(names: set[str]) -> str:
    return f"{len(names)} class{'es' if len(names) != 1 else ''}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shown(folder: Folder) -> str:
    return "/".join(folder) or "the outermost folder"


def _example(folder: Folder, splits: Mapping[Folder, str] | None = None) -> str:
    if splits:
        return "/".join([*next(iter(splits))[:-1], "{class}"])
    return "/".join([*folder[:-1], "{split}", "{class}"])


def _seen(counts: Mapping[Folder, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    shown = ", ".join(f"{count:,} in {_shown(folder)}" for folder, count in most)
    return f"Images lie here: {shown}{' and elsewhere' if len(counts) > 3 else ''}."
