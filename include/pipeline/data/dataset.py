"""What is wrong with a data set as a whole, and the fingerprint that names it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from include.pipeline.data.accounting import Row, account
from include.pipeline.data.duplicates import equal_groups, near_pairs
from include.pipeline.data.image_check import CheckedImage, SetAside
from include.pipeline.data.layout import LITTER, Layout, may_hold_images
from include.pipeline.data.sharing import carve
from include.pipeline.data.splits import SPLITS
from include.pipeline.pages.documents import Document
from include.pipeline.settings import Data


class Finding(Document):
    """Something that is wrong with a data set."""

    level: Literal["error", "warning"]
    check: str
    """The key below ``data.checks`` that decides the level, or what was counted."""
    message: str
    groups: list[list[str]] = Field([], exclude=True)
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
    """Excluded images."""
    ignored: list[SetAside]
    """Files that are not meant as images of this data set."""
    reading: str
    """How the folders were read, in one sentence."""
    tree: list[str]
    pattern: str
    """The value of ``data.layout`` that reads them like this; empty where there is none."""
    account: list[Row]
    """What became of each file of the source, by split and class."""

    @property
    def totals(self) -> dict[str, int]:
        """The number of images by split."""
        return {split: sum(per_class.values()) for split, per_class in self.counts.items()}

    @property
    def accounted(self) -> str:
        """What became of the files, in one sentence."""
        found = sum(row.found for row in self.account)
        return (
            f"Files found: {found:,}, of which {len(self.images):,} are used, {len(self.set_aside):,} excluded and "
            f"{len(self.ignored):,} ignored."
        )


def assemble(layout: Layout, images: list[CheckedImage], set_aside: list[SetAside], data: Data) -> Assembled:
    """Judge a data set as a whole, and name it by its content.

    :param images: those that can be used, and ``set_aside`` those that can't.
    """
    images = sorted(images, key=lambda image: image.path)
    left_out = sorted([*layout.misplaced, *set_aside], key=lambda one: one.path)
    rows = account(layout, images, left_out)
    pairs = near_pairs(images, lambda image: layout.class_of(image.path)[0])
    placed = dict(carve(images, pairs, data.split, layout.splits))
    equal = equal_groups(images)
    concerned = {image.path for group in (*equal, *pairs) for image in group}
    final = {image.path: path for path, image in placed.items() if image.path in concerned}
    counts = _count(placed, layout)
    findings = [
        *_judge_counts(counts, data),
        *_judge_names(counts),
        *_judge_set_aside(left_out, len(images), data),
        *_judge_ignored(layout.ignored, data),
        *_judge_equal(equal, final, data),
        *_judge_near(pairs, final, data),
    ]
    findings.sort(key=lambda finding: finding.level != "error")
    return Assembled(
        fingerprint(placed),
        sorted(counts["train"]),
        counts,
        placed,
        findings,
        left_out,
        layout.ignored,
        " ".join(filter(None, [_reading(layout, data), _converted(images)])),
        layout.tree,
        layout.pattern,
        rows,
    )


def fingerprint(images: Mapping[str, CheckedImage]) -> str:
    """Sixteen hexadecimal digits that name this content: paths and bytes, whatever order or archive they came in."""
    whole = hashlib.sha256()
    for path in sorted(images):
        whole.update(f"{images[path].sha256}  {path}\n".encode())
    return whole.hexdigest()[:16]


def _count(placed: Mapping[str, CheckedImage], layout: Layout) -> dict[str, dict[str, int]]:
    counter = Counter(tuple(path.split("/")[:2]) for path in placed)
    labels = sorted({label for _, label in [*counter, *layout.class_folders]})
    return {split: {label: counter[split, label] for label in labels} for split in SPLITS}


def _judge_counts(counts: dict[str, dict[str, int]], data: Data) -> list[Finding]:
    labels, train = list(counts["train"]), counts["train"]
    findings = []
    if len(labels) < 2:
        found = f"{len(labels)} class" if len(labels) == 1 else "no class"
        findings += _finding("error", "classes", f"The data set has {found}; a classifier needs at least 2.")
    if data.classes is not None and len(labels) != data.classes:
        message = f"The data set has {len(labels)} classes; the project's data.classes says {data.classes}."
        findings += _finding("error", "classes", message)
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


def _reading(layout: Layout, data: Data) -> str:
    """How names and folders were read, and by which rule images get the splits that the source lacks."""
    return " ".join([_splits_read(layout, data), *layout.notes])


def _converted(images: list[CheckedImage]) -> str:
    kinds = Counter(image.format.split()[0] for image in images if image.converted)
    listed = " and ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return (
        f"Images of formats that not all of AWS's container images decode were converted to PNG: {listed}."
        if kinds
        else ""
    )


def _splits_read(layout: Layout, data: Data) -> str:
    missing = [split for split in SPLITS if split not in layout.splits]
    if not missing:
        return f"{layout.sentence}."
    if not layout.splits:
        ratios = ", ".join(f"{getattr(data.split, split):.0%} {split}" for split in SPLITS)
        return f"{layout.sentence}. Each image's SHA-256 assigns it to a split: {ratios}."
    whole = data.split.train + sum(getattr(data.split, split) for split in missing)
    ratios = " and ".join(
        f"{split} gets {getattr(data.split, split) / whole:.1%} of train" for split in missing
    )
    absent = " and ".join(missing).capitalize()
    return f"{layout.sentence}. {absent} can't be found, so {ratios}, by each image's SHA-256."


def _judge_names(counts: dict[str, dict[str, int]]) -> list[Finding]:
    """Find classes whose names a person can't tell apart."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in counts["train"]:
        words = unicodedata.normalize("NFKC", label).casefold().replace("_", " ").split()
        alike[" ".join(words)].append(label)
    return [
        Finding(
            level="error",
            check="class_names",
            message=f"The classes {' and '.join(repr(label) for label in labels)} differ only in capitals, blanks, "
            "underscores or the form of their letters. Rename one, or move its images into the other folder.",
        )
        for labels in alike.values()
        if len(labels) > 1
    ]


def _judge_ignored(ignored: list[SetAside], data: Data) -> list[Finding]:
    """Count files in folders of classes, images and archives that were passed over, with the most frequent reason."""
    passed = [one for one in ignored if one.reason != LITTER and (one.label or may_hold_images(one.path))]
    if not passed:
        return []
    reason, count = Counter(one.reason for one in passed).most_common(1)[0]
    first = next(one for one in passed if one.reason == reason)
    inside = sum(bool(one.label) for one in passed)
    message = (
        f"{_files(len(passed))} ignored, {inside:,} of them in folders of classes. The most frequent reason, of "
        f"{count:,}: {reason}. The first is {first.path}."
    )
    return _finding(data.checks.ignored_files, "ignored_files", message)


def _files(count: int) -> str:
    return f"{count:,} files are" if count != 1 else "1 file is"


def _judge_set_aside(set_aside: list[SetAside], usable: int, data: Data) -> list[Finding]:
    if not set_aside:
        return []
    share = len(set_aside) / (len(set_aside) + usable)
    first = f"{len(set_aside):,} of {len(set_aside) + usable:,} images can't be used. The first is "
    message = f"{first}{set_aside[0].path}: {set_aside[0].reason}."
    if share > data.max_set_aside:
        return _finding(
            "error", "set_aside", f"{message} data.max_set_aside allows {data.max_set_aside:.0%}."
        )
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
    kind: Literal["error", "warning"] = "error" if level == "error" else "warning"
    return [Finding(level=kind, check=check, message=message, groups=groups or [])]


def _by_split(path: str) -> tuple[int, str]:
    return SPLITS.index(path.split("/")[0]), path


def _listed(labels: list[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
