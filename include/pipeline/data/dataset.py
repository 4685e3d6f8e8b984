"""What a data set must look like, what is wrong with one, and the fingerprint that names it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from include.pipeline.data.duplicates import equal_groups, near_pairs
from include.pipeline.data.image_check import CheckedImage, SetAside
from include.pipeline.data.sharing import share_out
from include.pipeline.errors import PermanentError
from include.pipeline.settings import Data

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
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
IGNORED_FOLDERS = {"__MACOSX"}


class DatasetError(PermanentError):
    """A data set that can't be used; the message says which file or folder is wrong, and how.

    :param report: the address of the data report, where there is one.
    """

    def __init__(self, message: str, report: str | None = None) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Layout:
    """Where the images of a source lie."""

    places: dict[str, str]
    """The member's path of each ``<split>/<class>/<file>``; without splits of each ``<class>/<file>``."""
    class_folders: set[tuple[str, str]]
    """Every (split, class) that has a folder, with images or without; the split is empty where there are none."""
    has_splits: bool
    misplaced: list[SetAside] = field(default_factory=list)
    """Images that lie below a class's folder, but not in it."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data set."""

    level: Literal["error", "warning"]
    check: str
    """The key below ``data.checks`` that decides the level, or what was counted."""
    message: str
    groups: list[list[str]] = field(default_factory=list)
    """The images concerned, as in :attr:`Assembled.images`: those of a group are equal or look the same."""


@dataclass(frozen=True)
class Assembled:
    """A data set that was judged as a whole."""

    fingerprint: str
    classes: list[str]
    counts: dict[str, dict[str, int]]
    """Images by split and class."""
    images: dict[str, CheckedImage]
    """By ``<split>/<class>/<file>``."""
    findings: list[Finding]
    """Errors first."""
    set_aside: list[SetAside]


def is_ignored(path: str) -> bool:
    """Whether a member is what operating systems leave behind, such as .DS_Store."""
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") or part in IGNORED_FOLDERS for part in parts)


def find_layout(files: Mapping[str, int], folders: Iterable[str]) -> Layout:
    """Find train, valid and test, or else the folders of the classes, wherever they lie in a source.

    :raises DatasetError: if a split is missing or there twice, or there are no classes.
    """
    images = [
        path
        for path in files
        if not is_ignored(path) and PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
    ]
    directories = [folder.rstrip("/") for folder in folders if not is_ignored(folder)]
    found = _find_splits(images)
    root, splits = found if found else (_find_classes(images), {"": ""})
    places: dict[str, str] = {}
    class_folders: set[tuple[str, str]] = set()
    misplaced = []
    for folder, split in splits.items():
        below = f"{root}{folder}/" if folder else root
        inside = f"{split}/" if split else ""
        for path in images:
            if path.startswith(below):
                label, *rest = path.removeprefix(below).split("/")
                if len(rest) == 1:
                    places[f"{inside}{label}/{rest[0]}"] = path
                    class_folders.add((split, label))
                elif rest:
                    misplaced.append(SetAside(path, "it does not lie directly in the folder of a class"))
        for directory in directories:
            if found and directory.startswith(below) and "/" not in directory.removeprefix(below):
                class_folders.add((split, directory.removeprefix(below)))
    return Layout(places, class_folders, found is not None, misplaced)


def assemble(layout: Layout, images: list[CheckedImage], set_aside: list[SetAside], data: Data) -> Assembled:
    """Judge a data set as a whole, and name it by its content.

    :param images: those that can be used, and ``set_aside`` those that can't.
    """
    images = sorted(images, key=lambda image: image.path)
    pairs = near_pairs(images)
    if layout.has_splits:
        placed = {image.path: image for image in images}
    else:
        placed = {f"{split}/{image.path}": image for image, split in share_out(images, pairs, data.split)}
    final = {image.path: path for path, image in placed.items()}
    counts = _count(placed, layout)
    left_out = sorted([*layout.misplaced, *set_aside], key=lambda one: one.path)
    findings = [
        *_judge_counts(counts, data),
        *_judge_set_aside(left_out, len(images), data),
        *_judge_equal(equal_groups(images), final, data),
        *_judge_near(pairs, final, data),
    ]
    findings.sort(key=lambda finding: finding.level != "error")
    return Assembled(fingerprint(placed), sorted(counts["train"]), counts, placed, findings, left_out)


def fingerprint(images: Mapping[str, CheckedImage]) -> str:
    """Sixteen hexadecimal digits that name this content: paths and bytes, whatever order or archive they came in."""
    whole = hashlib.sha256()
    for path, image in sorted(images.items()):
        whole.update(f"{image.sha256}  {path}\n".encode())
    return whole.hexdigest()[:16]


def _find_splits(images: list[str]) -> tuple[str, dict[str, str]] | None:
    """The folder that holds the splits, and what each of its folders means."""
    candidates: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for path in images:
        parts = path.split("/")
        for depth, part in enumerate(parts[:-2]):  # below a split: a class, and in it an image
            if part.lower() in SPLIT_NAMES:
                root = "".join(f"{parent}/" for parent in parts[:depth])
                candidates[root][part] = SPLIT_NAMES[part.lower()]
                break
    if not candidates:
        return None
    root, splits = min(
        candidates.items(), key=lambda item: (-len(set(item[1].values())), len(item[0]), item[0])
    )
    missing = [split for split in SPLITS if split not in splits.values()]
    if missing:
        raise DatasetError(
            f"The data set has no {' and no '.join(missing)} split. Expected folders {', '.join(SPLITS)}, each "
            "with one folder of images per class; or none of the three, and one folder of images per class."
        )
    if len(splits) > len(SPLITS):
        raise DatasetError(f"The data set has a split twice: its folders are {', '.join(sorted(splits))}.")
    return root, splits


def _find_classes(images: list[str]) -> str:
    """The folder that holds one folder of images per class."""
    roots: defaultdict[str, set[str]] = defaultdict(set)
    for path in images:
        folder, _, _ = path.rpartition("/")
        root, slash, label = folder.rpartition("/")
        if label:
            roots[root + slash].add(label)
    if not roots:
        raise DatasetError(
            f"The data set has none of the folders {', '.join(SPLITS)}, and no folders with images either. "
            "Sort the images into one folder per class."
        )
    return min(roots, key=lambda root: (-len(roots[root]), len(root), root))


def _count(placed: Mapping[str, CheckedImage], layout: Layout) -> dict[str, dict[str, int]]:
    counter = Counter(tuple(path.split("/")[:2]) for path in placed)
    labels = sorted({label for _, label in [*counter, *layout.class_folders]})
    return {split: {label: counter[split, label] for label in labels} for split in SPLITS}


def _judge_counts(counts: dict[str, dict[str, int]], data: Data) -> list[Finding]:
    labels, train = list(counts["train"]), counts["train"]
    findings = []
    if len(labels) < 2:
        found = f"{len(labels)} class" if len(labels) == 1 else "no class"
        findings.append(
            Finding("error", "classes", f"The data set has {found}; a classifier needs at least 2.")
        )
    if data.classes is not None and len(labels) != data.classes:
        message = f"The data set has {len(labels)} classes; the project's data.classes says {data.classes}."
        findings.append(Finding("error", "classes", message))
    for split in SPLITS:
        empty = [label for label in labels if not counts[split][label]]
        if empty:
            message = (
                f"The {split} split has no image of {_listed(empty)}; each class needs one in each split."
            )
            findings += _finding(data.checks.missing_classes, "missing_classes", message)
    few = [label for label in labels if 0 < train[label] < data.min_images_per_class]
    if few:
        message = f"train has fewer than {data.min_images_per_class} images of {_listed(few)}."
        findings += _finding(data.checks.few_images, "few_images", message)
    filled = [label for label in labels if train[label]]
    if filled:
        most, least = max(filled, key=lambda one: train[one]), min(filled, key=lambda one: train[one])
        if train[most] > data.max_imbalance * train[least]:
            message = (
                f"The classes of train are out of balance: {train[most]:,} images of {most}, "
                f"{train[least]:,} of {least}."
            )
            findings += _finding(data.checks.imbalance, "imbalance", message)
    return findings


def _judge_set_aside(set_aside: list[SetAside], usable: int, data: Data) -> list[Finding]:
    if not set_aside:
        return []
    share = len(set_aside) / (len(set_aside) + usable)
    first = f"{len(set_aside):,} of {len(set_aside) + usable:,} images can't be used. The first is "
    message = f"{first}{set_aside[0].path}: {set_aside[0].reason}."
    if share > data.max_set_aside:
        return [
            Finding("error", "set_aside", f"{message} data.max_set_aside allows {data.max_set_aside:.0%}.")
        ]
    return _finding(data.checks.set_aside, "set_aside", message)


def _judge_equal(groups: list[list[CheckedImage]], final: dict[str, str], data: Data) -> list[Finding]:
    labels, across, inside = [], [], []
    for group in groups:
        paths = sorted((final[image.path] for image in group), key=_by_split)
        places = [path.split("/")[:2] for path in paths]
        if len({label for _, label in places}) > 1:
            labels.append(paths)
        if len({split for split, _ in places}) > 1:
            across.append(paths)
        elif len({label for _, label in places}) == 1:
            inside.append(paths)
    checks = data.checks
    return [
        *_groups_finding(checks.conflicting_labels, "conflicting_labels", "in another class", labels),
        *_groups_finding(
            checks.duplicates_across_splits, "duplicates_across_splits", "in another split", across
        ),
        *_groups_finding(checks.duplicates, "duplicates", "in the same split and class", inside),
    ]


def _judge_near(
    pairs: list[tuple[CheckedImage, CheckedImage]], final: dict[str, str], data: Data
) -> list[Finding]:
    across: list[list[str]] = []
    inside: list[list[str]] = []
    for pair in pairs:
        paths = sorted((final[image.path] for image in pair), key=_by_split)
        (inside if paths[0].split("/")[0] == paths[1].split("/")[0] else across).append(paths)
    level, name = data.checks.near_duplicates_across_splits, "near_duplicates_across_splits"
    return [
        *_groups_finding(level, name, "in another split", across, "looks the same as"),
        *_groups_finding(
            data.checks.near_duplicates, "near_duplicates", "in the same split", inside, "looks the same as"
        ),
    ]


def _groups_finding(
    level: str, check: str, where: str, groups: list[list[str]], verb: str = "is the same image as"
) -> list[Finding]:
    if not groups:
        return []
    one, other = groups[0][-1], groups[0][0]
    more = {1: "", 2: " There is another such case."}.get(
        len(groups), f" There are {len(groups) - 1:,} more such cases."
    )
    message = f"{one} {verb} {other}, {where}.{more}"
    return _finding(level, check, message, groups)


def _finding(level: str, check: str, message: str, groups: list[list[str]] | None = None) -> list[Finding]:
    if level == "ignore":
        return []
    return [Finding("error" if level == "error" else "warning", check, message, groups or [])]


def _by_split(path: str) -> tuple[int, str]:
    return SPLITS.index(path.split("/")[0]), path


def _listed(labels: list[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
