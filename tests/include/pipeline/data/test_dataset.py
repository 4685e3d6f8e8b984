"""A data set's layout, what is found wrong with it as a whole, and its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pytest

from include.pipeline.data.dataset import (
    Assembled,
    DatasetError,
    Layout,
    assemble,
    find_layout,
    fingerprint,
    is_ignored,
)
from include.pipeline.data.image_check import CheckedImage, SetAside, check_image
from include.pipeline.settings import Checks, Data

from .conftest import jpeg


def image(path: str, content: str | None = None) -> CheckedImage:
    return CheckedImage(
        path, 1, hashlib.sha256((content or path).encode()).hexdigest(), "JPEG", 8, 8, bytes(1024)
    )


def many(counts: dict[str, int]) -> list[CheckedImage]:
    return [image(f"{folder}/{n}.jpg") for folder, count in counts.items() for n in range(count)]


GOOD = {"train/a": 10, "train/b": 10, "valid/a": 1, "valid/b": 1, "test/a": 1, "test/b": 1}


def judged(images: list[CheckedImage], set_aside: Iterable[SetAside] = (), **data: Any) -> Assembled:
    places = {one.path: one.path for one in images}
    folders = {tuple(one.path.split("/")[:2]) for one in images}
    return assemble(Layout(places, folders, True), images, list(set_aside), Data(**data))  # type: ignore[arg-type]


def findings(data_set: Assembled) -> list[tuple[str, str]]:
    return [(finding.level, finding.check) for finding in data_set.findings]


@pytest.mark.parametrize("root", ["", "dogImages/", "some/where/"])
@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("Training", "val", "Testing"), ("train", "validation", "test")]
)
def test_splits_are_found_wherever_they_lie_and_whatever_they_are_called(
    root: str, names: tuple[str, str, str]
) -> None:
    files = {f"{root}{name}/{label}/1.JPG": 1 for name in names for label in "ab"}
    layout = find_layout(files | {f"{root}notes.txt": 1, f"{root}{names[0]}/a/.hidden.jpg": 1}, [])
    assert layout.has_splits
    assert layout.places == {
        f"{split}/{label}/1.JPG": f"{root}{name}/{label}/1.JPG"
        for split, name in zip(("train", "valid", "test"), names, strict=True)
        for label in "ab"
    }


def test_without_splits_the_folders_are_the_classes() -> None:
    layout = find_layout({"flowers/rose/1.jpg": 1, "flowers/tulip/2.png": 1, "flowers/logo.txt": 1}, [])
    assert not layout.has_splits
    assert layout.places == {"rose/1.jpg": "flowers/rose/1.jpg", "tulip/2.png": "flowers/tulip/2.png"}


def test_images_that_lie_too_deep_are_set_aside() -> None:
    files = {f"{split}/a/1.jpg": 1 for split in ("train", "valid", "test")}
    layout = find_layout(files | {"train/a/more/2.jpg": 1}, [])
    assert [one.path for one in layout.misplaced] == ["train/a/more/2.jpg"]
    assert len(layout.places) == 3


def test_an_empty_class_folder_is_known() -> None:
    files = {f"{split}/a/1.jpg": 1 for split in ("train", "valid", "test")}
    assert ("train", "b") in find_layout(files, ["train/b", "train/.git", "train/a/x"]).class_folders


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train/a/1.jpg": 1, "test/a/1.jpg": 1}, "no valid split"),
        ({"train/a/1.jpg": 1}, "no valid and no test split"),
        ({f"{name}/a/1.jpg": 1 for name in ("train", "val", "valid", "test")}, "split twice"),
        ({"1.jpg": 1, "2.jpg": 1}, "one folder per class"),
        ({}, "one folder per class"),
    ],
)
def test_what_has_no_layout_is_refused(files: dict[str, int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        find_layout(files, [])


def test_a_good_data_set_has_no_findings() -> None:
    data_set = judged(many(GOOD))
    assert data_set.findings == []
    assert data_set.classes == ["a", "b"]
    assert data_set.counts == {
        "train": {"a": 10, "b": 10},
        "valid": {"a": 1, "b": 1},
        "test": {"a": 1, "b": 1},
    }


@pytest.mark.parametrize(
    ("images", "data", "expected"),
    [
        pytest.param(many({**GOOD, "valid/b": 0}), {}, ("error", "missing_classes"), id="class missing"),
        pytest.param(many({**GOOD, "train/b": 9}), {}, ("warning", "few_images"), id="few images"),
        pytest.param(many({**GOOD, "train/b": 101}), {}, ("warning", "imbalance"), id="imbalance"),
        pytest.param(many(GOOD), {"classes": 3}, ("error", "classes"), id="other number of classes"),
        pytest.param(
            many({"train/a": 10, "valid/a": 1, "test/a": 1}), {}, ("error", "classes"), id="one class"
        ),
        pytest.param(
            [*many(GOOD), image("train/a/x.jpg", "train/a/0.jpg")], {}, ("warning", "duplicates"), id="twice"
        ),
        pytest.param(
            [*many(GOOD), image("test/a/x.jpg", "train/a/0.jpg")],
            {},
            ("error", "duplicates_across_splits"),
            id="leak",
        ),
        pytest.param(
            [*many(GOOD), image("train/b/x.jpg", "train/a/0.jpg")],
            {},
            ("error", "conflicting_labels"),
            id="two labels",
        ),
    ],
)
def test_each_fault_is_found(
    images: list[CheckedImage], data: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert findings(judged(images, **data)) == [expected]


def test_levels_come_from_the_project() -> None:
    images = [*many({**GOOD, "train/b": 9}), image("test/a/x.jpg", "train/a/0.jpg")]
    checks = Checks(duplicates_across_splits="warning", few_images="ignore")
    assert findings(judged(images, checks=checks)) == [("warning", "duplicates_across_splits")]


def test_a_leak_names_both_images_and_counts_the_others() -> None:
    images = [*many(GOOD), image("test/a/x.jpg", "train/a/0.jpg"), image("test/b/y.jpg", "train/b/0.jpg")]
    finding = judged(images).findings[0]
    assert finding.message == (
        "test/a/x.jpg is the same image as train/a/0.jpg, in another split. There is another such case."
    )
    assert finding.groups == [["train/a/0.jpg", "test/a/x.jpg"], ["train/b/0.jpg", "test/b/y.jpg"]]


def test_what_looks_the_same_in_two_splits_is_found() -> None:
    paths = [image.path for image in many(GOOD)]
    shown = [check_image(path, jpeg(seed), Data()) for seed, path in enumerate(paths)]
    smaller = check_image("test/a/copy.jpg", jpeg(0, (50, 50)), Data())
    assert findings(judged(shown)) == []
    assert findings(judged([*shown, smaller])) == [("error", "near_duplicates_across_splits")]


def test_a_few_images_may_be_set_aside_and_many_may_not() -> None:
    assert findings(judged(many(GOOD), [SetAside("x.jpg", "it is empty")])) == [("warning", "set_aside")]
    several = [SetAside(f"{n}.jpg", "it is empty") for n in range(3)]
    data_set = judged(many(GOOD), several)
    assert findings(data_set) == [("error", "set_aside")]
    assert "3 of 27 images can't be used. The first is 0.jpg: it is empty." in data_set.findings[0].message


def unsplit(images: list[CheckedImage]) -> dict[str, str]:
    """Image to split."""
    layout = Layout({one.path: one.path for one in images}, set(), False)
    data_set = assemble(layout, images, [], Data(checks=Checks(few_images="ignore", imbalance="ignore")))
    assert data_set.findings == []
    return {path.split("/", 1)[1]: path.split("/")[0] for path in data_set.images}


def test_images_without_splits_are_shared_out_alike_in_each_class() -> None:
    splits = unsplit(many({"a": 1000, "b": 2000}))
    for label, count in (("a", 1000), ("b", 2000)):
        for split, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
            found = sum(of == split and path.startswith(label) for path, of in splits.items())
            assert abs(found / count - share) < 0.03


def test_an_image_stays_in_its_split_when_the_data_grows() -> None:
    before = unsplit(many({"a": 100, "b": 100}))
    after = unsplit(many({"a": 150, "b": 300, "c": 50}))
    assert {path: after[path] for path in before} == before


def test_a_small_class_has_an_image_in_each_split() -> None:
    splits = unsplit(many({"a": 3, "b": 100}))
    assert {of for path, of in splits.items() if path.startswith("a")} == {"train", "valid", "test"}


def test_the_fingerprint_names_paths_and_bytes() -> None:
    one, two = image("train/a/1.jpg"), image("train/a/2.jpg")
    first = fingerprint({one.path: one, two.path: two})
    assert first == fingerprint({two.path: two, one.path: one})
    assert first != fingerprint({one.path: two, two.path: one})
    assert len(first) == 16


@pytest.mark.parametrize("path", [".DS_Store", "a/.git/x.jpg", "__MACOSX/a/._1.jpg"])
def test_what_operating_systems_leave_is_ignored(path: str) -> None:
    assert is_ignored(path)
    assert not is_ignored("a/1.jpg")
