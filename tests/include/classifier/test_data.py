"""The transforms are torchvision's, and the data set on disk is checked."""

from pathlib import Path

import numpy as np
import pytest
from data import EvalTransform, ImageDataset, Normalisation, TrainTransform, read_split, read_splits
from errors import ClassifierError

from tests.include.classifier.drawing import CLASSES, draw, encode, write_images

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COLOUR = (90, 120, 200)


@pytest.mark.parametrize("size", [(80, 72), (301, 200), (57, 333), (64, 64)])
@pytest.mark.parametrize("image_size", [64, 224])
def test_the_deterministic_view_is_that_of_torchvision(size: tuple[int, int], image_size: int) -> None:
    from torchvision import transforms

    image = draw(COLOUR, size=size)
    reference = transforms.Compose(
        [
            transforms.Resize(round(image_size * 256 / 224)),
            transforms.CenterCrop(image_size),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET.mean, IMAGENET.std),
        ]
    )

    view = EvalTransform(image_size, IMAGENET)(image)
    np.testing.assert_allclose(view, reference(image).numpy(), atol=1e-5)


def test_the_augmented_view_has_the_same_shape_and_scale() -> None:
    image = draw(COLOUR)
    augmented, plain = TrainTransform(64, IMAGENET)(image), EvalTransform(64, IMAGENET)(image)

    assert augmented.shape == plain.shape == (3, 64, 64)
    assert augmented.dtype == plain.dtype == np.float32
    assert augmented.mean() == pytest.approx(plain.mean(), abs=0.1)


def test_the_augmented_view_differs_each_time() -> None:
    transform, image = TrainTransform(64, IMAGENET), draw(COLOUR)

    assert not np.array_equal(transform(image), transform(image))


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
    (extra / "0.jpg").write_bytes(encode(draw(COLOUR)))

    with pytest.raises(ClassifierError, match=r"train and valid have different classes.*004\.Extra"):
        read_splits(tmp_path, ("train", "valid"))


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 1}, {"001.Red": (200, 40, 40)})

    with pytest.raises(ClassifierError, match="at least two"):
        read_split(tmp_path / "train")
