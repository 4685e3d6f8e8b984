"""Batches are shared out over processes so that several see what one would."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from image_classifier import feature_set, training_data
from image_classifier.data import EvalTransform, Normalization, TrainTransform, read_splits
from image_classifier.distributed import Processes
from image_classifier.errors import ClassifierError

CPU = torch.device("cpu")
HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def ten_samples(tmp_path: Path) -> Path:
    """A feature set in which each sample's only feature is its number."""
    for name in ("train", "valid"):
        feature_set.write_split(tmp_path, name, np.arange(10, dtype=np.float32)[:, None], [0] * 10)
    return tmp_path


def numbers(batches: object) -> list[list[int]]:
    return [inputs.flatten().int().tolist() for inputs, _ in batches]  # type: ignore[attr-defined]


def test_an_epoch_has_every_sample_once(ten_samples: Path) -> None:
    data = training_data.of_features(ten_samples, 0, 4, 0, Processes(0, 1, CPU))

    batches = numbers(data.train(1, 0))

    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(chain(*batches)) == list(range(10))


def test_every_epoch_has_its_own_order(ten_samples: Path) -> None:
    data = training_data.of_features(ten_samples, 0, 10, 0, Processes(0, 1, CPU))

    assert numbers(data.train(1, 0)) != numbers(data.train(2, 0))


def test_two_processes_share_the_batches_of_one(ten_samples: Path) -> None:
    alone = training_data.of_features(ten_samples, 0, 4, 0, Processes(0, 1, CPU))
    pair = [training_data.of_features(ten_samples, 0, 4, 0, Processes(rank, 2, CPU)) for rank in (0, 1)]

    shared = [a + b for a, b in zip(*(numbers(data.train(1, 0)) for data in pair), strict=True)]

    assert [sorted(batch) for batch in shared] == [sorted(batch) for batch in numbers(alone.train(1, 0))]


def test_three_processes_validate_every_sample_once(ten_samples: Path) -> None:
    shares = [
        numbers(training_data.of_features(ten_samples, 0, 4, 0, Processes(rank, 3, CPU)).validation(1))
        for rank in range(3)
    ]

    assert sorted(chain(*chain(*shares))) == list(range(10))


def test_images_come_in_batches_of_the_global_size(dataset: Path) -> None:
    data = images(dataset, 16, Processes(0, 2, CPU))

    assert [tuple(inputs.shape) for inputs, _ in data.train(1, 0)] == [(8, 3, 32, 32)] * 2 + [(4, 3, 32, 32)]


def test_a_last_batch_of_one_image_is_left_out(dataset: Path) -> None:
    data = images(dataset, 19, Processes(0, 1, CPU))

    assert [len(labels) for _, labels in data.train(1, 0)] == [19, 19]  # of 39


def test_epochs_go_through_the_views_in_turn(ten_samples: Path) -> None:
    for view in (1, 2):
        numbers_of_view = np.arange(10, dtype=np.float32)[:, None] + 100 * view
        feature_set.write_split(ten_samples, "train", numbers_of_view, [0] * 10, view)
    data = training_data.of_features(ten_samples, 2, 10, 0, Processes(0, 1, CPU))

    assert [numbers(data.train(epoch, 0))[0][0] // 100 for epoch in range(1, 7)] == [0, 1, 2, 0, 1, 2]


def images(dataset: Path, batch_size: int, processes: Processes) -> training_data.TrainingData:
    splits = read_splits(dataset, training_data.TRAINING_SPLITS)
    transforms = TrainTransform(32, HALF), EvalTransform(32, HALF)
    return training_data.of_images(splits, *transforms, batch_size, 0, processes)


def test_an_epoch_can_be_gone_on_with_after_any_step(ten_samples: Path, dataset: Path) -> None:
    alone = Processes(0, 1, CPU)
    for data in (training_data.of_features(ten_samples, 0, 4, 0, alone), images(dataset, 16, alone)):
        whole = [inputs for inputs, _ in data.train(2, 0)]
        rest = [inputs for inputs, _ in data.train(2, 1)]

        assert len(whole) == data.steps == 3
        assert all(torch.equal(*pair) for pair in zip(whole[1:], rest, strict=True))


def test_every_epoch_augments_an_image_anew(dataset: Path) -> None:
    data = images(dataset, 39, Processes(0, 1, CPU))

    (first, labels), (second, other_labels) = (next(iter(data.train(epoch, 0))) for epoch in (1, 2))

    assert not np.array_equal(first[labels == 0].sum((1, 2, 3)), second[other_labels == 0].sum((1, 2, 3)))


def test_two_processes_augment_as_one_does(dataset: Path) -> None:
    alone = [inputs for inputs, _ in images(dataset, 12, Processes(0, 1, CPU)).train(1, 0)]
    pair = [images(dataset, 12, Processes(rank, 2, CPU)).train(1, 0) for rank in (0, 1)]

    shared = [torch.cat([a, b]) for (a, _), (b, _) in zip(*pair, strict=True)]

    for one, two in zip(
        alone[:3], shared[:3], strict=True
    ):  # the fourth batch is filled up to an even number
        torch.testing.assert_close(one.sum((1, 2, 3)).sort()[0], two.sum((1, 2, 3)).sort()[0], rtol=0, atol=0)


def test_batches_too_small_for_batch_normalization_are_told(dataset: Path) -> None:
    with pytest.raises(ClassifierError, match=r"batch size of 3 .* too few for 2 process"):
        images(dataset, 3, Processes(0, 2, CPU))


def test_features_of_another_image_size_are_refused(features: Path) -> None:
    with pytest.raises(ClassifierError, match=r"at 64 pixels, but the hyperparameters say .* at 224"):
        training_data.read_features(features, "efficientnet_lite0", 224)
