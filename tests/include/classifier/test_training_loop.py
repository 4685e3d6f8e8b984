"""The loop measures per sample, keeps the best epoch, stops early, and refuses a loss that is not finite."""

import math

import pytest
import torch
from distributed import Processes
from errors import ClassifierError
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD
from training_data import TrainingData
from training_loop import fit

ALONE = Processes(0, 1, torch.device("cpu"))


def points(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two classes of points on a line."""
    labels = torch.arange(samples) % 2
    noise = torch.randn(samples, 1, generator=torch.Generator().manual_seed(seed))
    return (labels * 4.0 - 2.0)[:, None] + noise, labels


def in_batches(x: Tensor, y: Tensor, size: int) -> TrainingData:
    batches = list(zip(x.split(size), y.split(size), strict=True))
    return TrainingData(lambda epoch: batches, lambda epoch: batches)


def run(data: TrainingData, *, learning_rate: float = 0.1, epochs: int = 5, patience: int = 3):
    torch.manual_seed(0)
    network = nn.Linear(1, 2)
    optimizer = SGD(network.parameters(), lr=learning_rate)
    return network, fit(network, optimizer, data, ALONE, epochs=epochs, patience=patience)


def test_the_loss_falls() -> None:
    _, (history, best) = run(in_batches(*points(40), 8))

    assert len(history) == 5
    assert best.validation.loss < history[0].validation.loss
    assert best.validation.accuracy > 0.9


def test_validation_is_measured_per_sample_whatever_the_batches() -> None:
    x, y = points(10)
    losses = []
    for size in (3, 4, 10):  # in batches of 3 the last has a single sample
        _, (history, _) = run(in_batches(x, y, size), learning_rate=1e-12, epochs=1)
        losses.append(history[0].validation.loss)

    assert losses == pytest.approx([losses[-1]] * 3, rel=1e-6)


def test_the_training_loss_is_measured_per_sample_whatever_the_batches() -> None:
    x, y = points(10)
    losses = []
    for size in (3, 10):
        _, (history, _) = run(in_batches(x, y, size), learning_rate=1e-12, epochs=1)
        losses.append(history[0].train.loss)

    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def validating_worse_from(epoch_of_change: int) -> TrainingData:
    """Data whose validation labels are turned round from an epoch on."""
    x, y = points(40)
    return TrainingData(lambda epoch: [(x, y)], lambda epoch: [(x, y if epoch < epoch_of_change else 1 - y)])


def test_training_stops_when_the_validation_loss_no_longer_falls(capsys: pytest.CaptureFixture[str]) -> None:
    _, (history, best) = run(validating_worse_from(4), epochs=20, patience=3)

    assert (len(history), best.number) == (6, 3)
    assert "Stopped after epoch 6" in capsys.readouterr().out


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    network, (_, best) = run(validating_worse_from(4), epochs=20)
    x, y = points(40)

    assert functional.cross_entropy(network(x), y).item() == pytest.approx(best.validation.loss, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    x, y = points(8)

    with pytest.raises(ClassifierError, match=r"training loss became .* in epoch 1: the training diverged"):
        run(in_batches(x * math.inf, y, 8))


def test_every_metric_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _, (history, _) = run(in_batches(*points(8), 8), epochs=1)

    assert capsys.readouterr().out.splitlines() == [
        f"epoch=1 train:loss={history[0].train.loss:.6f}",
        f"epoch=1 train:accuracy={history[0].train.accuracy:.6f}",
        f"epoch=1 validation:loss={history[0].validation.loss:.6f}",
        f"epoch=1 validation:accuracy={history[0].validation.accuracy:.6f}",
    ]
