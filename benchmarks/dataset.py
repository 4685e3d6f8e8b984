"""The images for the benchmarks of training and serving: a data set of the user, or generated images."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from include.pipeline.data.errors import DatasetError
from include.pipeline.data.layout import find_layout
from include.pipeline.data.sources import open_source

GENERATED = "generated"


@dataclass(frozen=True)
class Images:
    """A data set in ``folder``: one folder per split, with one folder per class.

    :param name: Its name in the rows of the table.
    """

    folder: Path
    name: str

    def split(self, name: str) -> list[Path]:
        return sorted(path for path in (self.folder / name).rglob("*") if path.is_file())


def unpack(address: str, folder: Path, at_most: Mapping[str, int]) -> Images:
    """Write the images of a data set to a folder.

    :param address: ``generated``; the path of a zip, a tar or a folder; the http(s) URL of an archive.
    :param at_most: The maximum number of images per split, with the same number for each class. Other splits are
        complete.
    :raises DatasetError: If it can't be read, or is not sorted into splits and classes.
    """
    with open_source(address, None) as members:
        layout = find_layout(members.files(), members.folders())
        if not layout.has_splits:
            raise DatasetError(
                f"{address} has no folders train, valid and test. Split it first, since benchmarks do not."
            )
        places = {layout.places[place]: place for place in _choose(list(layout.places), at_most)}
        for path, content in members.read(places):
            target = folder / places[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    name = (
        "generated images" if address == GENERATED else f"images of {address.rstrip('/').rsplit('/', 1)[-1]}"
    )
    return Images(folder, f"{len(places):,} {name}")


def jpegs(paths: list[Path]) -> list[bytes]:
    """Return each image as JPEG; JPEG files are not converted."""
    return [_jpeg(path) for path in paths]


def _jpeg(path: Path) -> bytes:
    with Image.open(path) as image:
        if image.format == "JPEG":
            return path.read_bytes()
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=90)
        return file.getvalue()


def _choose(places: list[str], at_most: Mapping[str, int]) -> list[str]:
    classes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for place in sorted(places):
        split, label = place.split("/")[:2]
        classes[split, label].append(place)
    labels = len({label for _, label in classes})
    return [
        place
        for (split, _), found in classes.items()
        for place in found[: max(1, at_most[split] // labels) if split in at_most else None]
    ]
