"""An augmented view depends on its key alone, so that it can be made again anywhere."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from image_classifier import model
from image_classifier.augmentation import AugmentedImages
from image_classifier.data import TrainTransform, read_split


@pytest.fixture
def images(dataset: Path) -> AugmentedImages:
    return AugmentedImages(read_split(dataset / "train"), TrainTransform(32, model.HALF), seed=3)


def test_views_are_the_same_in_threads_and_in_any_order(images: AugmentedImages) -> None:
    keys = [(view, index) for view in (1, 2) for index in range(10)]

    in_order = [images[key][0] for key in keys]
    with ThreadPoolExecutor(4) as pool:
        in_threads = list(pool.map(lambda key: images[key][0], reversed(keys)))

    assert all(map(np.array_equal, in_order, reversed(in_threads)))


def test_view_image_and_seed_all_make_a_difference(images: AugmentedImages) -> None:
    other_seed = AugmentedImages(images.split, images.transform, seed=4)

    views = [images[1, 0][0], images[2, 0][0], images[1, 1][0], other_seed[1, 0][0]]

    assert len({view.tobytes() for view in views}) == 4


def test_the_label_is_that_of_the_image(images: AugmentedImages) -> None:
    assert [images[1, index][1] for index in (0, 13, 38)] == [0, 1, 2]
