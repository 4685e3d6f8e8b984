"""Whatever people's folders look like: no file is lost, and no image gets a label that nobody gave it."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from include.classifier.image_classifier.image_files import is_litter
from include.pipeline.data import accounting
from include.pipeline.data.archives import Limits, TarMembers, ZipMembers
from include.pipeline.data.dataset import Assembled
from include.pipeline.data.errors import LayoutError
from include.pipeline.data.examination import examine
from include.pipeline.data.image_check import SetAside
from include.pipeline.data.layout import Layout
from include.pipeline.settings import Data

from .layouts import layout_of

EXAMPLES = settings(
    max_examples=int(os.environ.get("DATA_EXAMPLES", "500")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def encoded(kind: str, color: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 3), color).save(file, kind)
    return file.getvalue()


CONTENTS = [
    *(encoded(kind, color) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF") for color in range(0, 250, 25)),
    b"",
    b"no image",
    encoded("PNG", 0)[:40],
]


class InMemory:
    """A source of files in memory."""

    notes: tuple[str, ...] = ()

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def files(self) -> dict[str, int]:
        return {path: len(content) for path, content in self._files.items()}

    def folders(self) -> list[str]:
        return []

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            yield path, self._files[path]

    def copy_source(self, path: str) -> None:
        return None


def examined(members: Any) -> tuple[Layout, Assembled]:
    return examine(members, Data(), lambda line: None)


def check_accounts(files: Collection[str], layout: Layout, data_set: Assembled) -> None:
    """See that each file is used, excluded or ignored, once, and that a class is a folder of its images."""
    sources = [layout.places[place] for place in layout.places]
    left = [one.path for one in (*data_set.set_aside, *data_set.ignored)]
    undecoded = {one.path for one in data_set.set_aside}
    used = [path for path in sources if path not in undecoded]
    assert sorted([*used, *left]) == sorted(files)
    assert len(used) == len(data_set.images) == sum(row.used for row in data_set.account)
    assert sum(row.found for row in data_set.account) == len(files)
    assert all(one.reason for one in (*data_set.set_aside, *data_set.ignored))
    for place, path in layout.places.items():
        label = layout.class_of(place)[1]
        assert label in path.split("/")[:-1]
        assert not is_litter(label)
    assert {path.split("/")[1] for path in data_set.images} <= set(data_set.classes)


FOLDERS = st.sampled_from(
    [
        "train",
        "valid",
        "val",
        "test",
        "seg_train",
        "seg_test",
        "Train",
        "cat",
        "Cat",
        "dog",
        "2021",
        "2022",
        ".22lr",
        "part_1",
        "images",
        "masks",
        "pred",
        "__MACOSX",
        ".ipynb_checkpoints",
        ".git",
        "Café",
        "data",
        "a b",
        "9mm",
    ]
)
NAMES = st.sampled_from(
    [
        "1.jpg",
        "2.JPG",
        "3.jfif",
        "4.tif",
        "5.png",
        "6.gif",
        "1.nef",
        "a.txt",
        "README",
        "Thumbs.db",
        ".DS_Store",
        "._1.jpg",
        ".hidden.jpg",
        "7.jpeg",
        "b.svg",
        "image",
        "8.bmp",
        "desktop.ini",
        "c.csv",
    ]
)
PATHS = st.builds(lambda folders, name: "/".join([*folders, name]), st.lists(FOLDERS, max_size=4), NAMES)
TREES = st.dictionaries(PATHS, st.sampled_from(CONTENTS), max_size=16)


@EXAMPLES
@given(files=TREES)
def test_no_file_of_any_tree_disappears(files: dict[str, bytes]) -> None:
    with suppress(LayoutError):
        check_accounts(files, *examined(InMemory(files)))


LABELS = st.lists(
    st.sampled_from(
        ["cat", "dog", ".22lr", "Café", "001.Robin", "steam_train", "7", "0", "1", "new york", "contest"]
    ),
    min_size=2,
    max_size=4,
    unique=True,
)
WAYS = {
    "splits": "{split}/{label}",
    "kaggle": "seg_{split}/seg_{split}/{label}",
    "wrapped": "data/set/{split}/{label}",
    "between": "{split}/images/{label}",
    "with years": "{split}/{label}/{year}",
    "no splits": "{label}",
    "no splits, wrapped": "photos/{label}",
    "no splits, with years": "{label}/{year}",
    "batches": "batch_{part}/{label}",
    "splits in classes": "{label}/{split}",
    "people": "user_{part}/{label}",
    "numbers": "{part}/{label}",
    "numbered": "{label}/{part}",
    "sides": "side{side}/{label}",
}
AMBIGUOUS = ("batches", "people", "numbers", "numbered", "sides")
"""Where folders may also be read in another way: then they may be refused, but not read in that way."""
LITTER = [
    "{folder}/.DS_Store",
    "{folder}/Thumbs.db",
    "__MACOSX/{folder}/._1.jpg",
    "{folder}/.ipynb_checkpoints/1.jpg",
]
KINDS = ["memory", "zip", "tar"]


@st.composite
def trees(draw: Any) -> tuple[str, dict[str, bytes], dict[str, str]]:
    """A way in which people lay out files, the files, and the class of each image."""
    way = draw(st.sampled_from(sorted(WAYS)))
    labels = draw(LABELS)
    splits = draw(st.sampled_from([("train", "test"), ("train", "val", "test"), ("training", "validation")]))
    files: dict[str, bytes] = {}
    truth: dict[str, str] = {}
    number = 0
    for split in splits if "{split}" in WAYS[way] else ("",):
        for label in labels:
            for _ in range(draw(st.integers(1, 2))):
                year, part = draw(st.sampled_from([2021, 2022])), draw(st.integers(1, 2))
                folder = WAYS[way].format(split=split, label=label, year=year, part=part, side=" AB"[part])
                number += 1
                path = f"{folder}/{number}{draw(st.sampled_from(['.jpg', '.JPG', '.jfif', '.png', '.tif']))}"
                files[path] = draw(st.sampled_from(CONTENTS[:50]))
                truth[path] = label
                if draw(st.booleans()):
                    files[draw(st.sampled_from(LITTER)).format(folder=folder)] = b"litter"
    return way, files, truth


@EXAMPLES
@given(tree=trees(), kind=st.sampled_from(KINDS))
def test_every_image_gets_the_class_that_it_was_put_into(
    tmp_path_factory: pytest.TempPathFactory, tree: tuple[str, dict[str, bytes], dict[str, str]], kind: str
) -> None:
    way, files, truth = tree
    members = members_of(files, kind, tmp_path_factory)
    may_be_refused = way in AMBIGUOUS or all(label.isdigit() for label in truth.values())
    with suppress(LayoutError) if may_be_refused else nullcontext():
        layout, data_set = examined(members)
        check_accounts(files, layout, data_set)
        assert {layout.places[place]: layout.class_of(place)[1] for place in layout.places} == truth
        assert data_set.classes == sorted(set(truth.values()))


def members_of(files: dict[str, bytes], kind: str, folders: pytest.TempPathFactory) -> Any:
    if kind == "memory":
        return InMemory(files)
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return ZipMembers(zipfile.ZipFile(buffer), Limits())
    path: Path = folders.getbasetemp() / "tree.tar"
    with tarfile.open(path, "w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return TarMembers(path, Limits())


def test_a_file_that_is_lost_is_an_error_and_not_a_smaller_data_set() -> None:
    layout = layout_of(["train/a/1.jpg", "train/b/1.jpg"])
    with pytest.raises(
        accounting.AccountingError, match=r"Of 1 files in train/a, 0 are used, 0 are excluded and 0"
    ):
        accounting.account(layout, [], [SetAside("train/b/1.jpg", "it is empty", "train", "b")])
