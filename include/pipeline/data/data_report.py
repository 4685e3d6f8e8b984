"""The data report: what a data set holds, some of it as pictures, and what is wrong with it."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from PIL import Image

from include.pipeline.data.dataset import SPLITS, Assembled, Finding
from include.pipeline.data.image_check import LOOK_SIDE, CheckedImage
from include.pipeline.page import page, put_page, table
from include.pipeline.settings import Project

MAX_PICTURES = 300
MOST_PER_CLASS, FEWEST_PER_CLASS = 8, 1
MAX_SHOWN = 24
COLOURS = {"train": "#3b76c4", "valid": "#e0962b", "test": "#4c9f70"}
STYLE = (
    ".error{border-left:.4rem solid #c62f3e;padding-left:1rem}"
    ".warning{border-left:.4rem solid #e0962b;padding-left:1rem}"
    ".verdict{font-size:1.2rem}figure{display:inline-block;margin:.3rem;max-width:8rem;vertical-align:top}"
    "figcaption{font-size:.75rem;overflow-wrap:anywhere}figure img{display:block;min-width:4rem}"
    "h3{margin:.8rem 0 .2rem;font-size:1rem}svg text{font:12px system-ui,sans-serif;fill:currentColor}"
)


def choose_thumbnails(paths: Iterable[str]) -> set[str]:
    """Which images to show: the same number of each class, at most about 300, and always the same ones.

    :param paths: ``[<split>/]<class>/<file>``.
    """
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_class[path.split("/")[-2]].append(path)
    each = max(FEWEST_PER_CLASS, min(MOST_PER_CLASS, MAX_PICTURES // max(len(by_class), 1)))
    return {path for group in by_class.values() for path in sorted(group, key=_shuffled)[:each]}


def render(project: Project, source: str, uri: str, data_set: Assembled) -> str:
    """The page, complete in itself.

    :param source: where the images came from, without secrets.
    :param uri: where they are put.
    """
    errors = sum(finding.level == "error" for finding in data_set.findings)
    if errors:
        faults = "1 error" if errors == 1 else f"{errors} errors"
        verdict = f"This data set can't be used: {faults}. None of its images was put to S3."
    else:
        verdict = "This data set can be used."
    title = f"Data report of {project.name}"
    total = Counter(dict.fromkeys(SPLITS, 0))
    for split, counts in data_set.counts.items():
        total[split] += sum(counts.values())
    figures = [
        ("Source", source),
        ("Place in S3", uri),
        ("Images", ", ".join(f"{total[split]:,} {split}" for split in SPLITS)),
        ("Classes", len(data_set.classes)),
        ("Set aside", len(data_set.set_aside)),
        *_figures(list(data_set.images.values())),
    ]
    body = [
        f"<h1>{html.escape(title)}</h1><p class='verdict'>{verdict}</p>",
        *(_finding(finding, data_set) for finding in data_set.findings),
        table(["", ""], figures),
        f"<h2>Images by class and split</h2>{_plot(data_set)}",
        table(
            ["Class", *SPLITS],
            [(label, *(data_set.counts[split][label] for split in SPLITS)) for label in data_set.classes],
        ),
        f"<h2>Some of the images</h2>{_contact_sheet(data_set)}",
        _set_aside(data_set),
    ]
    return page(title, "".join(body), STYLE)


def publish(text: str, uri: str, s3: Any) -> str:
    """Put the page beside the images, and return its address."""
    return put_page(text, f"{uri}/report.html", s3)


def _figures(images: list[CheckedImage]) -> list[tuple[str, str]]:
    if not images:
        return []
    formats = Counter(image.format for image in images).most_common()
    widths, heights = [image.width for image in images], [image.height for image in images]
    return [
        ("Formats", ", ".join(f"{count:,} {name}" for name, count in formats)),
        ("Width", f"{min(widths):,} to {max(widths):,} pixels"),
        ("Height", f"{min(heights):,} to {max(heights):,} pixels"),
        ("Size", f"{sum(image.size for image in images) / 1e6:,.1f} MB"),
    ]


def _finding(finding: Finding, data_set: Assembled) -> str:
    shown = "".join(_figure(data_set.images[path], path) for path in finding.paths[:MAX_SHOWN])
    more = f"<p>And {len(finding.paths) - MAX_SHOWN:,} more.</p>" if len(finding.paths) > MAX_SHOWN else ""
    return (
        f"<section class='{finding.level}'><h3>{finding.level.capitalize()}: {finding.check}</h3>"
        f"<p>{html.escape(finding.message)}</p>{shown}{more}</section>"
    )


def _plot(data_set: Assembled) -> str:
    """A bar for each class, with a part for each split."""
    names, row, width = 200, 18, 500
    rows = [(label, [data_set.counts[split][label] for split in SPLITS]) for label in data_set.classes]
    most = max((sum(counts) for _, counts in rows), default=0) or 1
    parts = []
    for number, (label, counts) in enumerate(rows):
        top, left = number * row, float(names)
        short = label if len(label) <= 28 else f"{label[:27]}\N{HORIZONTAL ELLIPSIS}"
        parts.append(f"<text x='{names - 8}' y='{top + 13}' text-anchor='end'>{html.escape(short)}</text>")
        for split, count in zip(SPLITS, counts, strict=True):
            size = width * count / most
            parts.append(
                f"<rect x='{left:.1f}' y='{top + 2}' width='{size:.1f}' height='{row - 4}' fill='{COLOURS[split]}'/>"
            )
            left += size
        parts.append(f"<text x='{left + 6:.1f}' y='{top + 13}'>{sum(counts):,}</text>")
    legend = " ".join(
        f"<span style='color:{COLOURS[split]}'>\N{BLACK SQUARE}</span> {split}" for split in SPLITS
    )
    return (
        f"<p>{legend}</p><svg role='img' aria-label='Images of each class by split; the table below has the figures' "
        f"width='100%' viewBox='0 0 {names + width + 60} {row * len(rows)}'>{''.join(parts)}</svg>"
    )


def _contact_sheet(data_set: Assembled) -> str:
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for path, image in sorted(data_set.images.items()):
        if image.thumbnail:
            by_class[path.split("/")[1]].append(_figure(image, path.split("/", 2)[2]))
    return "".join(
        f"<h3>{html.escape(label)}</h3>{''.join(figures)}" for label, figures in sorted(by_class.items())
    )


def _figure(image: CheckedImage, caption: str) -> str:
    kind, content = ("jpeg", image.thumbnail) if image.thumbnail else ("png", _grey(image.look))
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}" if content else ""
    name = html.escape(caption, quote=True)
    return f"<figure><img src='{address}' alt='{name}'><figcaption>{name}</figcaption></figure>"


def _grey(look: bytes) -> bytes:
    if not look:
        return b""
    file = io.BytesIO()
    Image.frombytes("L", (LOOK_SIDE, LOOK_SIDE), look).resize((64, 64)).save(file, "PNG")
    return file.getvalue()


def _set_aside(data_set: Assembled) -> str:
    if not data_set.set_aside:
        return ""
    rows = [(one.path, one.reason) for one in data_set.set_aside[:MAX_PICTURES]]
    more = len(data_set.set_aside) - len(rows)
    rest = f"<p>And {more:,} more; manifest.json lists all.</p>" if more else ""
    return f"<h2>Set aside</h2>{table(['File', 'Why'], rows)}{rest}"


def _shuffled(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()
