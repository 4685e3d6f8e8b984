"""The data report: what a data set holds, some of it as pictures, and what is wrong with it."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from include.pipeline.data import dataset
from include.pipeline.data.dataset import Assembled
from include.pipeline.data.image_check import CheckedImage, SetAside
from include.pipeline.data.looks import LOOK_SIDE
from include.pipeline.data.splits import SPLITS
from include.pipeline.pages import page
from include.pipeline.pages.documents import Document, Run
from include.pipeline.pages.pictures import data_uri
from include.pipeline.settings import Project

PAGE = "report.html"
MAX_PICTURES = 300
MOST_PER_CLASS, FEWEST_PER_CLASS = 8, 1
MAX_GROUPS = 12
TITLES = {"set_aside": "excluded images"}


class Picture(Document):
    """An image and the paths at which it is: several for files with the same content."""

    image: str
    paths: list[str]


class Finding(Document):
    """Something that is wrong with the data set.

    :param groups: the images concerned: those of a group are equal (one picture), or look the same (several).
    :param more: the number of groups that are not shown.
    """

    level: str
    check: str
    message: str
    groups: list[list[Picture]]
    more: int

    @property
    def title(self) -> str:
        """What was checked, for readers."""
        return TITLES.get(self.check, page.readable(self.check).lower())


class Excluded(Document):
    """A file that can't be used."""

    path: str
    reason: str


class Ignored(Document):
    """Files that were passed over for one reason: how many, and the first of them."""

    reason: str
    count: int
    first: str


class DataReport(Document):
    """What the page shows.

    :param run: the run that has checked the data set; later runs use the result.
    :param source: where the images come from, without secrets; ``uri`` is where they are in S3.
    :param counts: images by class and split.
    :param figures: formats and sizes, as text.
    :param samples: pictures by class.
    :param excluded: the first of ``excluded_count`` files.
    :param gray: whether some of the pictures are gray.
    :param reading: how the folders were read, and ``tree`` the same in a few lines.
    :param pattern: the value of ``data.layout`` that reads them like this.
    :param unused: the numbers of excluded and of ignored files by class; those of no class under ''.
    :param accounted: what became of all files, in one sentence.
    :param changes: what differs from the version before.
    """

    project: str
    description: str
    run: Run | None
    made: datetime
    source: str
    uri: str
    counts: dict[str, dict[str, int]]
    figures: dict[str, str]
    findings: list[Finding]
    samples: dict[str, list[Picture]]
    excluded: list[Excluded]
    excluded_count: int
    gray: bool
    reading: str
    tree: list[str]
    pattern: str
    ignored: list[Ignored]
    unused: dict[str, tuple[int, int]]
    accounted: str
    changes: list[str]

    @property
    def errors(self) -> int:
        """The number of findings because of which the data set can't be used."""
        return sum(finding.level == "error" for finding in self.findings)

    @property
    def totals(self) -> dict[str, int]:
        """Images by split."""
        return {split: sum(counts[split] for counts in self.counts.values()) for split in SPLITS}

    @property
    def ignored_count(self) -> int:
        """The number of files that were passed over."""
        return sum(ignored for _, ignored in self.unused.values())

    @property
    def largest(self) -> int:
        """The number of images of the largest class."""
        return max((sum(counts.values()) for counts in self.counts.values()), default=0) or 1


def choose_thumbnails(paths: Iterable[str], has_splits: bool = True) -> set[str]:
    """Which images to show: the same number of each class, at most about 300, and always the same ones.

    :param paths: ``[<split>/]<class>/<file>``.
    """
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_class[path.split("/")[has_splits]].append(path)
    each = max(FEWEST_PER_CLASS, min(MOST_PER_CLASS, MAX_PICTURES // max(len(by_class), 1)))
    return {path for group in by_class.values() for path in sorted(group, key=_shuffled)[:each]}


def publish(
    project: Project,
    source: str,
    uri: str,
    data_set: Assembled,
    s3: Any,
    run: Run | None = None,
    changes: Sequence[str] = (),
) -> str:
    """Put the page beside the images, and return its S3 URI."""
    target = f"{uri}/{PAGE}"
    return page.put(render(report(project, source, uri, data_set, run, changes), target), target, s3)


def report(
    project: Project,
    source: str,
    uri: str,
    data_set: Assembled,
    run: Run | None = None,
    changes: Sequence[str] = (),
) -> DataReport:
    """Put together what the page shows.

    :param source: where the images came from, without secrets.
    :param uri: the S3 prefix where they are put.
    :param changes: sentences on what differs from the version before.
    """
    findings = [_finding(finding, data_set) for finding in data_set.findings]
    return DataReport(
        project=project.name,
        description=project.description,
        run=run,
        made=datetime.now(UTC),
        source=source,
        uri=uri,
        counts={
            label: {split: data_set.counts[split][label] for split in SPLITS} for label in data_set.classes
        },
        figures=_figures(list(data_set.images.values())),
        findings=findings,
        samples=_samples(data_set),
        excluded=[Excluded(path=one.path, reason=one.reason) for one in data_set.set_aside[:MAX_PICTURES]],
        excluded_count=len(data_set.set_aside),
        gray=any(
            picture.image.startswith("data:image/png")
            for finding in findings
            for group in finding.groups
            for picture in group
        ),
        reading=data_set.reading,
        tree=data_set.tree,
        pattern=data_set.pattern,
        ignored=by_reason(data_set.ignored),
        unused=unused(data_set),
        accounted=data_set.accounted,
        changes=list(changes),
    )


def render(made: DataReport, uri: str) -> str:
    """Return the page as HTML.

    :param uri: where the page is put.
    """
    return page.render("data.html", report=made, links=page.navigation(uri, made.run))


def by_reason(files: Sequence[SetAside]) -> list[Ignored]:
    """Return the reasons for which files are not used, the most frequent ones first."""
    first: dict[str, str] = {}
    for one in files:
        first.setdefault(one.reason, one.path)
    counts = Counter(one.reason for one in files)
    return [
        Ignored(reason=reason, count=count, first=first[reason])
        for reason, count in counts.most_common(MAX_GROUPS)
    ]


def unused(data_set: Assembled) -> dict[str, tuple[int, int]]:
    """Return the numbers of excluded and of ignored files by class, where there are any; without a class under ''."""
    found: dict[str, tuple[int, int]] = {}
    for row in data_set.account:
        excluded, ignored = found.get(row.label, (0, 0))
        found[row.label] = (excluded + row.excluded, ignored + row.ignored)
    return {label: counts for label, counts in found.items() if any(counts)}


def _figures(images: list[CheckedImage]) -> dict[str, str]:
    if not images:
        return {}
    formats = Counter(image.format for image in images).most_common()
    widths, heights = [image.width for image in images], [image.height for image in images]
    return {
        "Formats": ", ".join(f"{count:,} {name}" for name, count in formats),
        "Width": _range(widths),
        "Height": _range(heights),
        "Size": _size(sum(image.size for image in images)),
    }


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} KB"


def _range(pixels: list[int]) -> str:
    low, high = min(pixels), max(pixels)
    return f"{low:,} pixels" if low == high else f"{low:,} to {high:,} pixels"


def _finding(finding: dataset.Finding, data_set: Assembled) -> Finding:
    return Finding(
        level=finding.level,
        check=finding.check,
        message=finding.message,
        groups=[_group(paths, data_set) for paths in finding.groups[:MAX_GROUPS]],
        more=max(0, len(finding.groups) - MAX_GROUPS),
    )


def _group(paths: list[str], data_set: Assembled) -> list[Picture]:
    """Return one picture for each content, all in color or all in gray, so that they can be compared."""
    by_content: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_content[data_set.images[path].sha256].append(path)
    thumbnails = [
        next((found for path in same if (found := data_set.images[path].thumbnail)), None)
        for same in by_content.values()
    ]
    if all(thumbnails):
        images = [data_uri(thumbnail) for thumbnail in thumbnails if thumbnail]
    else:
        images = [
            data_uri(_gray(bytes(data_set.images[same[0]].look)), "png") for same in by_content.values()
        ]
    return [Picture(image=image, paths=same) for image, same in zip(images, by_content.values(), strict=True)]


def _gray(look: bytes) -> bytes:
    file = io.BytesIO()
    Image.frombytes("L", (LOOK_SIDE, LOOK_SIDE), look).resize((96, 96)).save(file, "PNG")
    return file.getvalue()


def _samples(data_set: Assembled) -> dict[str, list[Picture]]:
    samples: defaultdict[str, list[Picture]] = defaultdict(list)
    for path, image in sorted(data_set.images.items()):
        if image.thumbnail:
            split, label, file = path.split("/", 2)
            samples[label].append(Picture(image=data_uri(image.thumbnail), paths=[f"{split}/{file}"]))
    return dict(sorted(samples.items()))


def _shuffled(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()
