"""Check a data set as the pipeline would, on this machine alone, and say what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field
from rich.console import Console
from rich.table import Table

from include.laptop.demo import dataset_address, read_project, standing_folders
from include.laptop.errors import LaptopError
from include.laptop.terminal import printable, say, show, shown_path
from include.pipeline.data import data_report
from include.pipeline.data.dataset import Assembled, Finding
from include.pipeline.data.errors import DatasetError, LayoutError
from include.pipeline.data.examination import examine
from include.pipeline.data.image_check import SetAside
from include.pipeline.data.sources import open_source, public_address
from include.pipeline.data.splits import SPLITS
from include.pipeline.pages.documents import Document
from include.pipeline.settings import Project
from include.pipeline.target import TARGET_VARIABLE, is_local

USABLE, NOT_USABLE, NOT_READ = 0, 1, 2
SHOWN_CLASSES = 40


class Layout(Document):
    """How the folders were read."""

    sentence: str
    tree: list[str]
    """The same in a few lines."""
    pattern: str | None
    """The value of ``data.layout`` that reads them like this."""


class CheckResult(Document):
    """The JSON that is printed."""

    usable: bool
    classes: list[str] = Field([])
    splits: dict[str, dict[str, int]] = Field({split: {} for split in SPLITS})
    """The number of images by split and class."""
    used: int = 0
    """The number of images."""
    excluded: list[SetAside] = Field([])
    ignored: list[SetAside] = Field([])
    findings: list[Finding]
    layout: Layout | None = None
    """None if the folders could not be read."""
    fingerprint: str | None = Field(None, exclude_if=lambda value: value is None)
    """Absent if the folders could not be read; likewise ``report``."""
    report: str | None = Field(None, exclude_if=lambda value: value is None)
    """The path of the data report."""


def run(
    project_name: str, dataset: str, as_json: bool, folder: Path, console: Console, errors: Console
) -> int:
    """Check a data set, print what is in it, and write its data report.

    :param dataset: as ``make demo`` takes it; empty for the project's own.
    :param as_json: whether one JSON object is printed instead; then progress goes to ``errors``.
    :param folder: where the data report is written.
    :return: 0 if the data set can be used, 1 if not, 2 if the source can't be read.
    """
    told = errors if as_json else console
    try:
        project = read_project(project_name)
        address = dataset_address(dataset, standing_folders()) if dataset else project.data.source
        data_set = check(project, address, told)
    except (LaptopError, DatasetError, OSError, ClientError, BotoCoreError) as error:
        is_read = isinstance(error, LayoutError)
        if as_json:
            finding = Finding(level="error", check="layout" if is_read else "source", message=str(error))
            _print(CheckResult(usable=False, findings=[finding]))
        else:
            say(errors, str(error), "red")
        return NOT_USABLE if is_read else NOT_READ
    report = write_report(project, address, data_set, folder)
    is_usable = not any(finding.level == "error" for finding in data_set.findings)
    if as_json:
        _print(result(data_set, is_usable, report))
    else:
        show_result(console, data_set, is_usable)
        place = "a laptop" if is_local() else f"AWS; for a laptop, set {TARGET_VARIABLE}=local"
        say(console, f"Settings: {project.name}, for {place}.")
        say(console, f"Data report: {shown_path(report)}")
    return USABLE if is_usable else NOT_USABLE


def check(project: Project, address: str, console: Console) -> Assembled:
    """Read and judge a data set.

    :raises DatasetError: if the source or its folders can't be read.
    """
    s3: Any = (
        boto3.client("s3", config=Config(retries={"mode": "standard"}))
        if address.startswith("s3://")
        else None
    )
    with open_source(address, s3, lambda line: say(console, line)) as members:
        _, data_set = examine(members, project.data, lambda line: say(console, line))
    return data_set


def write_report(project: Project, address: str, data_set: Assembled, folder: Path) -> Path:
    """Write the data report to a file, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project.name}-{data_set.fingerprint}.html"
    made = data_report.report(project, public_address(address), "not staged", data_set)
    path.write_text(data_report.render(made, path.as_posix()), encoding="utf-8")
    return path


def result(data_set: Assembled, is_usable: bool, report: Path) -> CheckResult:
    """Return what was found, for programs."""
    return CheckResult(
        usable=is_usable,
        classes=data_set.classes,
        splits=data_set.counts,
        used=len(data_set.images),
        excluded=data_set.set_aside,
        ignored=data_set.ignored,
        findings=data_set.findings,
        layout=Layout(sentence=data_set.reading, tree=data_set.tree, pattern=data_set.pattern or None),
        fingerprint=data_set.fingerprint,
        report=str(report),
    )


def _print(found: CheckResult) -> None:
    print(json.dumps(found.model_dump(), indent=1))


def show_result(console: Console, data_set: Assembled, is_usable: bool) -> None:
    """Print counts by class and split, what is not used and why, and the findings."""
    say(console)
    say(console, data_set.reading)
    say(console)
    table = Table("class", *SPLITS, "excluded", "ignored", box=None, header_style="bold")
    unused = data_report.unused(data_set)
    labels = [*data_set.classes, *sorted(set(unused) - set(data_set.classes))]
    for label in labels[:SHOWN_CLASSES]:
        counts = [data_set.counts[split].get(label, 0) for split in SPLITS]
        row = [*counts, *unused.get(label, (0, 0))]
        table.add_row(printable(label or "(in no class)"), *(f"{count:,}" for count in row))
    show(console, table)
    if len(labels) > SHOWN_CLASSES:
        say(console, f"and {len(labels) - SHOWN_CLASSES:,} more; the data report shows all")
    say(console)
    for heading, files in (("Excluded", data_set.set_aside), ("Ignored", data_set.ignored)):
        for reason in data_report.by_reason(files):
            say(console, f"{heading}: {reason.count:,} because {reason.reason}; the first is {reason.first}")
    for finding in data_set.findings:
        say(
            console,
            f"{finding.level.capitalize()}: {finding.message}",
            "red" if finding.level == "error" else "yellow",
        )
    say(console, data_set.accounted)
    if is_usable:
        say(console, "The data set can be used.", "bold green")
    else:
        say(console, "The data set can't be used.", "bold red")
