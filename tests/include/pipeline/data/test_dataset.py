"""A data set's layout, what is found wrong with it as a whole, and its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pytest

from include.pipeline.data.dataset import Assembled, assemble, fingerprint
from include.pipeline.data.image_check import CheckedImage, SetAside, check_image
from include.pipeline.data.layout import LITTER
from include.pipeline.data.splits import SPLITS
from include.pipeline.settings import Checks, Data

from .conftest import jpeg
from .layouts import layout_of


def image(path: str, content: str | None = None) -> CheckedImage:
    return CheckedImage(
        path, 1, hashlib.sha256((content or path).encode()).hexdigest(), "JPEG", 8, 8, bytes(1024)
    )


def many(counts: dict[str, int]) -> list[CheckedImage]:
    return [image(f"{folder}/{n}.jpg") for folder, count in counts.items() for n in range(count)]


GOOD = {"train/a": 10, "train/b": 10, "valid/a": 1, "valid/b": 1, "test/a": 1, "test/b": 1}


def judged(images: list[CheckedImage], set_aside: Iterable[SetAside] = (), **data: Any) -> Assembled:
    left = list(set_aside)
    return assemble(layout_of((one.path for one in images), left), images, left, Data(**data))


def findings(data_set: Assembled) -> list[tuple[str, str]]:
    return [(finding.level, finding.check) for finding in data_set.findings]


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
    layout = layout_of((one.path for one in images), has_splits=False)
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


@pytest.mark.parametrize(
    ("missing", "shares"),
    [("test", {"train": 8 / 9, "test": 1 / 9}), ("valid", {"train": 8 / 9, "valid": 1 / 9})],
)
def test_a_split_that_is_missing_is_carved_from_train_and_said_so(
    missing: str, shares: dict[str, float]
) -> None:
    kept = "valid" if missing == "test" else "test"
    folders = {"train/a": 900, "train/b": 450, f"{kept}/a": 20, f"{kept}/b": 20}
    data_set = judged(many(folders))
    assert data_set.counts[kept] == {"a": 20, "b": 20}
    for split, share in shares.items():
        assert abs(data_set.counts[split]["a"] / 900 - share) < 0.03
    assert f"{missing.capitalize()} can't be found, so {missing} gets 11.1% of train" in data_set.reading
    more = judged([*many(folders), *many({"train/c": 30, f"{kept}/c": 1})])
    assert {path for path in more.images if "/c/" not in path} == set(data_set.images)


def test_of_train_alone_valid_and_test_are_carved() -> None:
    data_set = judged(many({"train/a": 3, "train/b": 100}))
    assert all(data_set.counts[split]["a"] == 1 for split in ("train", "valid", "test"))


def test_classes_that_differ_in_capitals_only_are_one_sentence() -> None:
    data_set = judged(many({**GOOD, "train/A": 10, "valid/A": 1, "test/A": 1}))
    assert [finding.message for finding in data_set.findings] == [
        "The classes 'A' and 'a' differ only in capitals, blanks, underscores or the form of their letters. Rename "
        "one, or move its images into the other folder."
    ]
    data_set = judged(many(GOOD | {f"{split}/new{mark}york": 10 for mark in " _" for split in SPLITS}))
    assert ("error", "class_names") in findings(data_set)


def test_an_archive_in_the_source_is_a_warning() -> None:
    images = many(GOOD)
    layout = layout_of(one.path for one in images)
    layout.found.update([("", "")])
    layout.ignored.append(SetAside("more.zip", "it is an archive in the source, which is not unpacked"))
    [finding] = assemble(layout, images, [], Data()).findings
    assert (finding.level, finding.check) == ("warning", "ignored_files")
    assert finding.message.endswith("which is not unpacked. The first is more.zip.")


def test_files_in_classes_that_are_no_images_are_a_warning_and_litter_is_not() -> None:
    images = many(GOOD)
    layout = layout_of(one.path for one in images)
    layout.found.update([("train", "a"), ("train", "a")])
    layout.ignored.append(SetAside("train/a/.DS_Store", LITTER, "train", "a"))
    layout.ignored.append(SetAside("train/a/1.xyz", ".xyz is not the ending of an image", "train", "a"))
    data_set = assemble(layout, images, [], Data())
    assert [finding.message for finding in data_set.findings] == [
        "1 file is ignored, 1 of them in folders of classes. The most frequent reason, of 1: .xyz is not the ending of "
        "an image. The first is train/a/1.xyz."
    ]
    assert data_set.accounted == "Files found: 26, of which 24 are used, 0 excluded and 2 ignored."
