"""The features job writes what the training job reads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_classifier import feature_set
from image_classifier.errors import ClassifierError
from image_classifier.features import write_features

from tests.include.classifier.conftest import CLASSIFIER
from tests.include.classifier.drawing import CLASSES, IMAGE_SIZE


@pytest.mark.parametrize(("split", "images"), [("train", 39), ("valid", 15), ("test", 12)])
def test_every_split_has_a_file_of_features_and_labels(split: str, images: int, features: Path) -> None:
    x, y = feature_set.read_split(features, split)

    assert (x.shape, x.dtype) == ((images, 1280), np.float32)
    assert (y.shape, y.dtype) == ((images,), np.int64)
    assert y.tolist() == sorted(y.tolist())


def test_the_feature_set_says_what_it_was_made_of(features: Path) -> None:
    info = feature_set.read_info(features)

    assert (info.architecture, info.image_size, info.dimensions) == ("efficientnet_lite0", IMAGE_SIZE, 1280)
    assert info.classes == list(CLASSES)
    assert info.counts == {"train": 39, "valid": 15, "test": 12}


@pytest.fixture(scope="module")
def with_views(dataset: Path, lite0_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature set with two augmented views."""
    folder = tmp_path_factory.mktemp("features")
    write_features(dataset, lite0_weights, folder, "efficientnet_lite0", IMAGE_SIZE, augmented_views=2)
    return folder


def test_augmented_views_of_train_are_added(with_views: Path, features: Path) -> None:
    views = [feature_set.read_split(with_views, "train", view) for view in range(3)]
    plain = feature_set.read_split(features, "train")

    assert feature_set.read_info(with_views).augmented_views == 2
    assert feature_set.read_info(features).augmented_views == 0
    np.testing.assert_array_equal(views[0][0], plain[0])
    assert all(y.tolist() == plain[1].tolist() for _, y in views)
    assert not np.allclose(views[0][0], views[1][0], atol=0.01)
    assert not np.allclose(views[1][0], views[2][0], atol=0.01)
    assert not (with_views / "valid.view1.npz").exists()


def test_augmented_views_are_the_same_in_every_run(
    with_views: Path, dataset: Path, lite0_weights: Path, tmp_path: Path
) -> None:
    write_features(dataset, lite0_weights, tmp_path, "efficientnet_lite0", IMAGE_SIZE, augmented_views=1)

    first, again = (feature_set.read_split(folder, "train", 1)[0] for folder in (with_views, tmp_path))
    np.testing.assert_array_equal(first, again)


def test_data_without_a_test_split_is_refused(tmp_path: Path, lite0_weights: Path) -> None:
    with pytest.raises(ClassifierError, match="train split is missing"):
        write_features(tmp_path, lite0_weights, tmp_path / "features", "efficientnet_lite0", IMAGE_SIZE)


def test_the_job_imports_no_torchvision_and_ends_with_one_sentence(
    tmp_path: Path, lite0_weights: Path
) -> None:
    script = CLASSIFIER / "features.py"
    arguments = ["--data", tmp_path, "--pretrained", lite0_weights, "--output", tmp_path / "features"]

    job = subprocess.run(
        [sys.executable, "-X", "importtime", script, *arguments], capture_output=True, text=True
    )

    *imported, said = job.stderr.splitlines()
    assert job.returncode == 1
    assert said.startswith("ValueError: The train split is missing")
    assert "Traceback" not in job.stderr
    assert [line for line in imported if not line.startswith("import time:")] == []
    assert [line for line in imported if line.endswith(" torchvision")] == []
