"""Batches are shared out over processes so that several see what one would."""

from itertools import chain
from pathlib import Path

import feature_set
import numpy as np
import pytest
import torch
import training_data
from data import EvalTransform, Normalisation, TrainTransform, read_splits
from distributed import Processes
from errors import ClassifierError

CPU = torch.device("cpu")
HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def ten_samples(tmp_path: Path) -> Path:
    """A feature set in which each sample's only feature is its number."""
    for name in ("train", "valid"):
        feature_set.write_split(tmp_path, name, np.arange(10, dtype=np.float32)[:, None], [0] * 10)
    return tmp_path


def numbers(batches: object) -> list[list[int]]:
    return [inputs.flatten().int().tolist() for inputs, _ in batches]  # type: ignore[attr-defined]


def test_an_epoch_has_every_sample_once(ten_samples: Path) -> None:
    data = training_data.of_features(ten_samples, 4, 0, Processes(0, 1, CPU))

    batches = numbers(data.train(1))

    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(chain(*batches)) == list(range(10))


def test_every_epoch_has_its_own_order(ten_samples: Path) -> None:
    data = training_data.of_features(ten_samples, 10, 0, Processes(0, 1, CPU))

    assert numbers(data.train(1)) != numbers(data.train(2))


def test_two_processes_share_the_batches_of_one(ten_samples: Path) -> None:
    alone = training_data.of_features(ten_samples, 4, 0, Processes(0, 1, CPU))
    pair = [training_data.of_features(ten_samples, 4, 0, Processes(rank, 2, CPU)) for rank in (0, 1)]

    shared = [a + b for a, b in zip(*(numbers(data.train(1)) for data in pair), strict=True)]

    assert [sorted(batch) for batch in shared] == [sorted(batch) for batch in numbers(alone.train(1))]


def test_three_processes_validate_every_sample_once(ten_samples: Path) -> None:
    shares = [
        numbers(training_data.of_features(ten_samples, 4, 0, Processes(rank, 3, CPU)).validation(1))
        for rank in range(3)
    ]

    assert sorted(chain(*chain(*shares))) == list(range(10))


def test_images_come_in_batches_of_the_global_size(dataset: Path) -> None:
    splits = read_splits(dataset, training_data.TRAINING_SPLITS)
    transforms = TrainTransform(32, HALF), EvalTransform(32, HALF)

    data = training_data.of_images(splits, *transforms, 16, 0, Processes(0, 2, CPU))

    assert [tuple(inputs.shape) for inputs, _ in data.train(1)] == [(8, 3, 32, 32)] * 2 + [(4, 3, 32, 32)]


def test_a_last_batch_of_one_image_is_left_out(dataset: Path) -> None:
    splits = read_splits(dataset, training_data.TRAINING_SPLITS)
    transforms = TrainTransform(32, HALF), EvalTransform(32, HALF)

    data = training_data.of_images(splits, *transforms, 19, 0, Processes(0, 1, CPU))

    assert [len(labels) for _, labels in data.train(1)] == [19, 19]  # of 39


def test_features_of_another_image_size_are_refused(features: Path) -> None:
    with pytest.raises(ClassifierError, match=r"at 64 pixels, but the hyperparameters say .* at 224"):
        training_data.read_features(features, "efficientnet_lite0", 224)
