"""A folder that is no feature set is told."""

from pathlib import Path

import numpy as np
import pytest
from image_classifier import feature_set
from image_classifier.errors import ClassifierError


def test_a_split_is_read_as_it_was_written(tmp_path: Path) -> None:
    features = np.arange(6, dtype=np.float32).reshape(2, 3)

    feature_set.write_split(tmp_path, "train", features, [1, 0])

    x, y = feature_set.read_split(tmp_path, "train")
    assert x.tolist() == features.tolist()
    assert y.tolist() == [1, 0]


def test_the_views_of_a_split_are_kept_apart(tmp_path: Path) -> None:
    for view in (0, 1):
        feature_set.write_split(tmp_path, "train", np.full((2, 3), view), [1, 0], view)

    assert [feature_set.read_split(tmp_path, "train", view)[0][0, 0] for view in (0, 1)] == [0, 1]


def test_a_missing_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match=r"valid\.npz is missing"):
        feature_set.read_split(tmp_path, "valid")


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x=np.asarray([{}], object), y=np.zeros(1))

    with pytest.raises(ClassifierError, match="was not written by features"):
        feature_set.read_split(tmp_path, "train")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"unknown": 1}'])
def test_an_unreadable_description_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text(content)

    with pytest.raises(ClassifierError, match=r"features\.json is missing or was not written"):
        feature_set.read_info(tmp_path)
