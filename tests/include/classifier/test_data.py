"""The transforms are torchvision's, and the data set on disk is checked."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_classifier.data import (
    EvalTransform,
    ImageDataset,
    Normalization,
    TrainTransform,
    read_split,
    read_splits,
)
from image_classifier.errors import ClassifierError
from image_classifier.images import open_image
from PIL import Image, ImageOps

from tests.include.classifier.drawing import CLASSES, draw, encode, write_images

IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COLOR = (90, 120, 200)
DOG_PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "dogs.zip"


@pytest.mark.parametrize("size", [(80, 72), (301, 200), (57, 333), (64, 64)])
@pytest.mark.parametrize("image_size", [64, 224])
def test_the_deterministic_view_is_that_of_torchvision(size: tuple[int, int], image_size: int) -> None:
    from torchvision import transforms

    image = draw(COLOR, size=size)
    reference = transforms.Compose(
        [
            transforms.Resize(round(image_size * 256 / 224)),
            transforms.CenterCrop(image_size),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET.mean, IMAGENET.std),
        ]
    )

    difference = np.abs(EvalTransform(image_size, IMAGENET)(image) - reference(image).numpy())

    level = 1 / 255 / min(IMAGENET.std)
    assert difference.max() < 1.01 * level
    assert difference.mean() < 0.3 * level


@pytest.mark.parametrize("side", [70, 300, 900])
def test_an_encoded_image_gives_the_view_of_the_opened_one(side: int) -> None:
    photo = encode(draw(COLOR, size=(30, 20)).resize((side * 3 // 2, side)))
    transform = EvalTransform(64, IMAGENET)

    view, whole = transform.load(photo), transform(open_image(photo))
    assert view.dtype == np.float32
    assert np.abs(view - whole).mean() < 2 / 255 / min(IMAGENET.std)  # two levels of 255


@pytest.mark.skipif(not DOG_PHOTOS.exists(), reason=f"the dog photos are not at {DOG_PHOTOS}")
def test_the_views_of_real_photos_are_those_of_plain_pillow() -> None:
    transform = EvalTransform(224, IMAGENET)
    with zipfile.ZipFile(DOG_PHOTOS) as photos:
        names = [name for name in photos.namelist() if "/test/" in name and name.endswith(".jpg")]
        assert len(names) == 200
        for name in names:
            content = photos.read(name)
            plain = Image.open(io.BytesIO(content))
            plain.draft(None, (transform.short_side, transform.short_side))
            expected = transform(ImageOps.exif_transpose(plain).convert("RGB"))
            assert np.array_equal(transform.load(content), expected), name


def test_a_dataset_gives_the_view_that_is_served(dataset: Path) -> None:
    split, transform = read_split(dataset / "test"), EvalTransform(64, IMAGENET)

    view, _ = ImageDataset(split, transform)[0]

    assert np.array_equal(view, transform.load(split.paths[0].read_bytes()))


def test_the_augmented_view_has_the_same_shape_and_scale() -> None:
    image = draw(COLOR)
    augmented = TrainTransform(64, IMAGENET)(image, np.random.default_rng(0))
    plain = EvalTransform(64, IMAGENET)(image)

    assert augmented.shape == plain.shape == (3, 64, 64)
    assert augmented.dtype == plain.dtype == np.float32
    assert augmented.mean() == pytest.approx(plain.mean(), abs=0.1)


def test_the_augmented_view_is_drawn_from_the_generator_alone() -> None:
    transform, image = TrainTransform(64, IMAGENET), draw(COLOR)

    first, again, other = (transform(image, np.random.default_rng(seed)) for seed in (0, 0, 1))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_augmented_views_show_such_parts_as_those_of_torchvision() -> None:
    from torchvision.transforms import RandomResizedCrop

    random, size = np.random.default_rng(0), (320, 200)
    blank = Image.new("RGB", size)
    ours = np.asarray([TrainTransform.draw_box(size, random) for _ in range(3000)], float)
    theirs = np.asarray(
        [RandomResizedCrop.get_params(blank, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(3000)], float
    )

    ours_as_theirs = np.stack(
        [ours[:, 1], ours[:, 0], ours[:, 3] - ours[:, 1], ours[:, 2] - ours[:, 0]], axis=1
    )
    for quantile in (0.1, 0.5, 0.9):  # of top, left, height and width
        np.testing.assert_allclose(
            np.quantile(ours_as_theirs, quantile, axis=0), np.quantile(theirs, quantile, axis=0), atol=8
        )


def test_of_a_long_narrow_image_the_middle_is_shown() -> None:
    assert TrainTransform.draw_box((1000, 12), np.random.default_rng(0)) == (492, 0, 508, 12)


def test_a_split_lists_classes_and_images_in_order(dataset: Path) -> None:
    split = read_split(dataset / "test")

    assert split.classes == list(CLASSES)
    assert split.labels == [0] * 4 + [1] * 4 + [2] * 4
    assert split.paths[4] == dataset / "test" / "002.Green" / "0.jpg"


def test_files_that_are_no_images_are_left_out(tmp_path: Path) -> None:
    folder = write_images(tmp_path, {"train": 1}) / "train" / "001.Red"
    for name in ("._0.jpg", ".DS_Store", "notes.txt"):
        (folder / name).write_text("no image")

    assert len(read_split(tmp_path / "train").paths) == 3


def test_a_dataset_gives_images_and_labels(dataset: Path) -> None:
    image, label = ImageDataset(read_split(dataset / "test"), EvalTransform(64, IMAGENET))[4]

    assert image.shape == (3, 64, 64)
    assert label == 1


def test_a_missing_split_is_told(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1, "valid": 1})

    with pytest.raises(ClassifierError, match="test split is missing"):
        read_splits(tmp_path)


def test_a_class_without_images_is_told(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1})
    (tmp_path / "train" / "004.Empty").mkdir()

    with pytest.raises(ClassifierError, match=r"004\.Empty has no image in the train split"):
        read_split(tmp_path / "train")


def test_classes_that_differ_between_splits_are_told(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1, "valid": 1})
    extra = tmp_path / "valid" / "004.Extra"
    extra.mkdir()
    (extra / "0.jpg").write_bytes(encode(draw(COLOR)))

    with pytest.raises(ClassifierError, match=r"train and valid have different classes.*004\.Extra"):
        read_splits(tmp_path, ("train", "valid"))


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1}, {"001.Red": (200, 40, 40)})

    with pytest.raises(ClassifierError, match="at least two"):
        read_split(tmp_path / "train")
