"""The reimplementation of the original project, used as a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.dataset import GENERATED, unpack


@pytest.fixture(scope="module")
def original() -> Any:
    """Return the module. It imports torchvision, which takes seconds in every process that collects the tests."""
    from benchmarks import original

    return original


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at_most = dict.fromkeys(("train", "valid", "test"), 5)
    return unpack(GENERATED, tmp_path_factory.mktemp("images"), at_most).folder


def test_frozen_network_trains_only_its_head(original: Any, data: Path) -> None:
    network = original.build("resnet18", 5)
    original.freeze(network, "resnet18")
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    batches = original.batches(data / "train", original.TRAIN_TRANSFORM, 5)
    assert original.train(network, batches, original.adam(network, 0.01)) == 5
    changed = {name for name, weight in network.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}


def test_unfrozen_network_trains_all_layers(original: Any, data: Path) -> None:
    network = original.build("resnet18", 5)
    before = network.conv1.weight.clone()
    batches = original.batches(data / "train", original.TRAIN_TRANSFORM, 5)
    original.train(network, batches, original.adam(network, 0.01))
    assert not torch.equal(network.conv1.weight, before)


def test_accuracy_is_the_share_of_correct_predictions(original: Any, data: Path) -> None:
    class Circle(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([1.0, 0, 0, 0, 0]).expand(len(images), 5)

    batches = original.batches(data / "test", original.TEST_TRANSFORM, 4)
    assert original.accuracy(Circle(), batches) == pytest.approx(0.2)
