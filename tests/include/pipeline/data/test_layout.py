"""How people's folders are read: as they are meant, or not at all; and no file disappears."""

from __future__ import annotations

from collections import Counter

import pytest

from include.pipeline.data.errors import DatasetError
from include.pipeline.data.layout import Layout, find_layout


def files(counts: dict[str, int], ending: str = ".jpg") -> dict[str, int]:
    """So many images in each folder; a number of 0 makes the path itself a file."""
    made: dict[str, int] = {}
    for folder, count in counts.items():
        made |= {f"{folder}/{n}{ending}": 1000 + n for n in range(count)} if count else {folder: 1}
    return made


def found(layout: Layout) -> dict[str, int]:
    """The number of images by ``[<split>/]<class>``."""
    return dict(Counter("/".join(filter(None, layout.class_of(place))) for place in layout.places))


def read(counts: dict[str, int], layout: str | None = None) -> Layout:
    made = files(counts)
    read = find_layout(made, [], layout)
    assert len(read.places) + len(read.misplaced) + len(read.ignored) == len(made) == read.found.total()
    assert len(set(read.places.values())) == len(read.places)
    assert len(read.tree) <= 10
    return read


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        pytest.param(
            {f"seg_{s}/seg_{s}/{c}": n for s, n in (("train", 60), ("test", 40)) for c in "ab"},
            {"train/a": 60, "train/b": 60, "test/a": 40, "test/b": 40},
            id="splits in folders of their own names",
        ),
        pytest.param(
            {"cat/2021": 2, "cat/2022": 2, "dog/2021": 2, "dog/2022": 2, "dog/2023": 2},
            {"cat": 4, "dog": 6},
            id="years below classes",
        ),
        pytest.param(
            {"batch_1/cat": 2, "batch_1/dog": 2, "batch_2/cat": 3},
            {"cat": 5, "dog": 2},
            id="batches of classes",
        ),
        pytest.param(
            {"cat": 2, "cat/kittens": 3, "dog": 1}, {"cat": 5, "dog": 1}, id="more images below a class"
        ),
        pytest.param({"cat/photos": 2, "dog/photos": 3}, {"cat": 2, "dog": 3}, id="one folder in each class"),
        pytest.param({"cat/cat": 2, "dog/dog": 3}, {"cat": 2, "dog": 3}, id="class in a folder of its name"),
        pytest.param(
            {"cat/train": 3, "cat/test": 1, "dog/train": 3, "dog/test": 1},
            {"train/cat": 3, "test/cat": 1, "train/dog": 3, "test/dog": 1},
            id="splits below classes",
        ),
        pytest.param(
            {"a/b/Training/x": 2, "a/b/Training/y": 2, "a/b/val/x": 1, "a/b/val/y": 1},
            {"train/x": 2, "train/y": 2, "valid/x": 1, "valid/y": 1},
            id="train and val alone, deep down",
        ),
        pytest.param({"train/x": 2, "train/y": 2}, {"train/x": 2, "train/y": 2}, id="train alone"),
        pytest.param(
            {"train/images/x": 2, "train/images/y": 2, "val/images/x": 1, "val/images/y": 1},
            {"train/x": 2, "train/y": 2, "valid/x": 1, "valid/y": 1},
            id="a folder between split and class",
        ),
        pytest.param(
            {"train2017/x": 2, "train2017/y": 2, "val2017/x": 1, "val2017/y": 1},
            {"train/x": 2, "train/y": 2, "valid/x": 1, "valid/y": 1},
            id="splits with a year",
        ),
        pytest.param(
            {"dogs_train/train/x": 2, "dogs_train/train/y": 2, "dogs_test/test/x": 1, "dogs_test/test/y": 1},
            {"train/x": 2, "train/y": 2, "test/x": 1, "test/y": 1},
            id="splits in two archives",
        ),
        pytest.param(
            {"car": 3, "train": 3, "plane": 3}, {"car": 3, "train": 3, "plane": 3}, id="a class named train"
        ),
        pytest.param(
            {"car": 3, "steam_train": 3, "test_tube": 1},
            {"car": 3, "steam_train": 3, "test_tube": 1},
            id="classes with names that contain a split's",
        ),
        pytest.param({"0": 3, "1": 3, "2": 1}, {"0": 3, "1": 3, "2": 1}, id="numbers as classes"),
        pytest.param({"0/images": 3, "1/images": 3}, {"0": 3, "1": 3}, id="numbers with one folder in each"),
        pytest.param({"cat/1": 2, "dog/2": 2, "dog/3": 1}, {"cat": 2, "dog": 3}, id="other numbers in each"),
        pytest.param({"2021/cat": 2, "2022/dog": 2}, {"cat": 2, "dog": 2}, id="classes below years"),
        pytest.param({"cat1/cat1": 2, "cat2/cat2": 2}, {"cat1": 2, "cat2": 2}, id="a series in its names"),
        pytest.param({".22lr": 3, "9mm": 3}, {".22lr": 3, "9mm": 3}, id="a class that begins with a dot"),
        pytest.param({"photos/x": 3, "photos/y": 3, "cover.jpg": 0}, {"x": 3, "y": 3}, id="a stray image"),
    ],
)
def test_folders_are_read_as_they_are_meant(folders: dict[str, int], expected: dict[str, int]) -> None:
    layout = read(folders)
    assert found(layout) == expected
    assert {"/".join(filter(None, of)) for of in layout.class_folders} == set(expected)
    if layout.pattern and "cover.jpg" not in folders:
        assert found(read(folders, layout.pattern)) == expected


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        pytest.param(
            {"animals/cat": 1, "animals/dog": 1, "plants/rose": 1, "plants/oak": 1},
            r"2 classes \(animals, plants\), or with 4 classes \(cat, dog, oak and 1 more\)\. Set data.layout to "
            r"\{class\} for the first, or to \*/\{class\} for the second",
            id="classes of classes",
        ),
        pytest.param(
            {"flowers/rose": 2, "flowers/tulip": 2, "docs": 3},
            r"2 classes \(docs, flowers\), or with 2 classes \(rose, tulip\), which leaves out 3 images",
            id="a folder beside the folder of the classes",
        ),
        pytest.param({"1/1": 2, "1/2": 2, "2/1": 2}, "two ways", id="numbers in numbers"),
        pytest.param({"1/ann": 2, "1/bob": 2, "2/ann": 2}, "two ways", id="people below numbers"),
        pytest.param({"1/cat": 2, "2/cat": 2}, "two ways", id="one class below numbers"),
        pytest.param({"batch_1/images": 2, "batch_2/images": 2}, "two ways", id="batches without classes"),
        pytest.param(
            {"left/0": 2, "left/1": 2, "right/0": 2, "right/1": 2},
            r"2 classes \(left, right\), or with 2 classes \(0, 1\)",
            id="the same numbers in each",
        ),
        pytest.param(
            {"user_1/3": 2, "user_2/5": 2},
            r"2 classes \(user_1, user_2\), or with 2",
            id="people and numbers",
        ),
        pytest.param({"setA/1": 2, "setB/2": 2}, "two ways", id="a series of letters"),
        pytest.param(
            {"train/animals/cat": 1, "train/plants/rose": 1, "train/plants/oak": 1},
            r"Set data.layout to \{split\}/\{class\} for the first, or to \{split\}/\*/\{class\}",
            id="classes of classes in splits",
        ),
        pytest.param(
            {f"{kind}/{split}/a": 1 for kind in ("images", "masks") for split in ("train", "val")},
            "train split twice: in images/train and in masks/train.*such as images/{split}/{class}",
            id="splits twice",
        ),
        pytest.param(
            {f"{name}/a": 1 for name in ("train", "val", "valid", "test")}, "split twice", id="two valid"
        ),
        pytest.param({"test/a": 1, "test/b": 1}, "no train split: only test", id="test alone"),
        pytest.param(
            {"x/train": 3, "x/test": 2}, "directly in test, train, in no folder of a class", id="flat splits"
        ),
        pytest.param(
            {"seg_train": 3, "seg_test": 2}, "directly in seg_test, seg_train", id="flat splits by words"
        ),
        pytest.param({"train": 3}, "directly in train, in no folder", id="flat train alone"),
        pytest.param({"1.jpg": 0, "2.jpg": 0}, "one folder per class", id="no folders"),
        pytest.param(
            {"notes.txt": 0, "a/1.xyz": 0}, "no images. It has 2 files: 1 with .txt, 1 with .xyz", id="text"
        ),
        pytest.param({}, "no images. It has no files", id="nothing"),
        pytest.param(
            {".cache/cat": 2, ".cache/dog": 2},
            r"no images. All of its files are what systems and tools leave; the first is .cache/cat/0.jpg",
            id="litter alone",
        ),
    ],
)
def test_what_has_no_one_meaning_is_refused_with_its_meanings(folders: dict[str, int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(folders)


def test_the_project_decides_between_two_readings() -> None:
    folders = {"animals/cat": 1, "animals/dog": 1, "plants/rose": 1, "plants/oak": 1}
    assert found(read(folders, "{class}")) == {"animals": 2, "plants": 2}
    assert found(read(folders, "*/{class}")) == {"cat": 1, "dog": 1, "rose": 1, "oak": 1}
    one = read(folders, "animals/{class}")
    assert found(one) == {"cat": 1, "dog": 1}
    assert len(one.ignored) == 2
    with pytest.raises(DatasetError, match=r"data.layout is \{split\}/\{class\}, but no folder .* matches"):
        read(folders, "{split}/{class}")


def test_images_of_one_name_in_one_class_stay_two() -> None:
    layout = read({"batch_1/cat": 1, "batch_2/cat": 1, "batch_2/dog": 1})
    assert set(layout.places) == {"cat/batch_1/0.jpg", "cat/batch_2/0.jpg", "dog/batch_2/0.jpg"}


def test_images_outside_of_the_splits_are_excluded_with_the_reason() -> None:
    layout = read({"train/a": 3, "train/b": 3, "test/a": 1, "test/b": 1, "extra/a": 4, "train/1.jpg": 0})
    reasons = Counter(one.reason for one in layout.misplaced)
    assert reasons == {"it lies outside of test and train": 4, "it lies in no folder of a class": 1}


def test_images_that_are_there_without_labels_are_ignored_and_counted() -> None:
    layout = read(
        {"seg_train/a": 3, "seg_train/b": 3, "seg_test/a": 1, "seg_test/b": 1, "seg_pred/seg_pred": 9}
    )
    assert [one.reason for one in layout.ignored] == ["seg_pred/seg_pred holds images without a class"] * 9
    layout = read({"train/a": 3, "train/b": 3, "test": 9})
    assert [one.reason for one in layout.ignored] == [
        "test has no folders of classes, so its images have no class"
    ] * 9
    assert layout.splits == ["train"]


def test_a_data_set_that_was_packed_twice_is_read_once() -> None:
    once = {f"x/{split}/{label}": 3 for split in ("train", "test") for label in "ab"}
    layout = read(once | {f"x/{folder}": count for folder, count in once.items()})
    assert len(layout.places) == 12
    assert layout.ignored[0].reason == "it has the path and the size of x/train/a/0.jpg"


def test_images_without_compression_are_no_copies_of_each_other() -> None:
    made = {f"{folder}/{n}.bmp": 1078 for folder in ("cat", "cat/cat", "dog") for n in range(3)}
    assert found(find_layout(made, [])) == {"cat": 6, "dog": 3}


def test_litter_is_counted_and_formats_that_are_not_read_are_excluded() -> None:
    made = files({".22lr": 3, "9mm": 3}) | {
        ".22lr/.DS_Store": 1,
        ".22lr/.ipynb_checkpoints/0.jpg": 1,
        "__MACOSX/9mm/._0.jpg": 1,
        "9mm/Thumbs.db": 1,
        "9mm/4.nef": 1,
        "9mm/notes.txt": 1,
        "README": 1,
        "more.tar.gz": 1,
    }
    layout = find_layout(made, [])
    assert found(layout) == {".22lr": 3, "9mm": 3}
    assert [one.path for one in layout.misplaced] == ["9mm/4.nef"]
    assert Counter((one.label, one.reason) for one in layout.ignored) == {
        (".22lr", "it is what an operating system or a tool left there"): 2,
        ("9mm", "it is what an operating system or a tool left there"): 1,
        ("", "it is what an operating system or a tool left there"): 1,
        ("9mm", ".txt is not the ending of an image"): 1,
        ("", "its name has no ending of an image"): 1,
        ("", "it is an archive in the source, which is not unpacked"): 1,
    }
    assert layout.found == {("", ".22lr"): 5, ("", "9mm"): 6, ("", ""): 3}


@pytest.mark.parametrize(
    "ending", [".JPG", ".jpe", ".jfif", ".tif", ".TIFF", ".heic", ".HEIF", ".avif", ".mpo"]
)
def test_an_ending_of_an_image_is_known_in_capitals_or_not(ending: str) -> None:
    assert found(find_layout(files({"a": 2, "b": 2}, ending), [])) == {"a": 2, "b": 2}


def test_a_class_without_any_image_is_known() -> None:
    made = files({"train/a": 1, "valid/a": 1, "test/a": 1})
    assert ("train", "b") in find_layout(made, ["train/b", "train/.git", "train/a/x"]).class_folders
    assert ("", "b") in find_layout(files({"a": 1, "c": 1}), ["b"]).class_folders
    assert ("train", "b") in find_layout(made | {"train/b/1.nef": 1}, []).class_folders


def test_the_reading_is_explained() -> None:
    layout = read({f"seg_{s}/seg_{s}/{c}": 5 for s in ("train", "test") for c in "abcd"})
    assert layout.sentence == "2 splits: train (seg_train/seg_train), test (seg_test/seg_test); 4 classes"
    assert layout.pattern == "{split}/*/{class}"
    assert layout.tree == [
        "train in seg_train/seg_train",
        "  a/ 5 images",
        "  b/ 5 images",
        "  and 2 more 10 images",
        "test in seg_test/seg_test",
        "  a/ 5 images",
        "  b/ 5 images",
        "  and 2 more 10 images",
    ]
    assert read({"photos/x": 3, "photos/y": 3}).sentence == "No folders of splits; 2 classes in photos"
