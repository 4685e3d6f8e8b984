"""The training loop: epochs with early stopping, metrics per sample, and the best epoch kept."""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from distributed import Processes
from errors import ClassifierError
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from training_data import TrainingData


@dataclass(frozen=True)
class Metrics:
    """Mean cross-entropy per sample, and the share of samples whose most probable class is right."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """What one epoch (numbered from 1) came to."""

    number: int
    train: Metrics
    validation: Metrics


def fit(
    network: nn.Module,
    optimizer: Optimizer,
    data: TrainingData,
    processes: Processes,
    *,
    epochs: int,
    patience: int,
) -> tuple[list[Epoch], Epoch]:
    """Train a network, which then has the weights of its best epoch: that with the lowest validation loss.

    :param epochs: at most so many.
    :param patience: stop after so many epochs in a row without a lower validation loss.
    :return: every epoch, and the best of them.
    :raises ClassifierError: a loss is not finite.
    """
    wrapped = processes.wrap(network)
    history: list[Epoch] = []
    best: Epoch | None = None
    best_weights = network.state_dict()
    for number in range(1, epochs + 1):
        epoch = Epoch(
            number,
            _train(wrapped, optimizer, data.train(number), processes),
            # Without the wrapper, which would wait for processes whose share of the batches is larger.
            _validate(network, data.validation(number), processes),
        )
        _report(epoch, processes)
        _check_finite(epoch)
        history.append(epoch)
        if best is None or epoch.validation.loss < best.validation.loss:
            best = epoch
            best_weights = copy.deepcopy(network.state_dict())
        elif number - best.number >= patience:
            processes.print(f"Stopped after epoch {number}: no lower validation loss in {patience} epochs.")
            break
    if best is None:
        raise ClassifierError(f"Nothing was trained in {epochs} epochs; set epochs to at least 1.")
    network.load_state_dict(best_weights)
    return history, best


def _train(
    network: nn.Module, optimizer: Optimizer, batches: Iterable[tuple[Tensor, Tensor]], processes: Processes
) -> Metrics:
    network.train()
    total = _Total(processes.device)
    for inputs, labels in batches:
        inputs, labels = inputs.to(processes.device), labels.to(processes.device)
        logits = network(inputs)
        loss = functional.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add(loss.detach() * len(labels), logits.detach(), labels)
    return total.reduce(processes)


def _validate(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], processes: Processes) -> Metrics:
    network.eval()
    total = _Total(processes.device)
    with torch.inference_mode():
        for inputs, labels in batches:
            inputs, labels = inputs.to(processes.device), labels.to(processes.device)
            logits = network(inputs)
            total.add(functional.cross_entropy(logits, labels, reduction="sum"), logits, labels)
    return total.reduce(processes)


class _Total:
    """Loss and right answers, summed on the device so that the GPU is not waited for in every batch.

    Sums over samples, not means over batches: trials with different batch sizes must be comparable.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.correct = torch.zeros((), device=device)
        self.samples = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self.loss += loss
        self.correct += (logits.argmax(1) == labels).sum()
        self.samples += len(labels)

    def reduce(self, processes: Processes) -> Metrics:
        loss, correct, samples = processes.sum([float(self.loss), float(self.correct), float(self.samples)])
        return Metrics(loss / max(samples, 1), correct / max(samples, 1))


def _report(epoch: Epoch, processes: Processes) -> None:
    # One metric a line, each line one string: SageMaker's metric definitions are matched line by line.
    for name, metrics in (("train", epoch.train), ("validation", epoch.validation)):
        processes.print(f"epoch={epoch.number} {name}:loss={metrics.loss:.6f}")
        processes.print(f"epoch={epoch.number} {name}:accuracy={metrics.accuracy:.6f}")


def _check_finite(epoch: Epoch) -> None:
    for name, metrics in (("training", epoch.train), ("validation", epoch.validation)):
        if not math.isfinite(metrics.loss):
            raise ClassifierError(
                f"The {name} loss became {metrics.loss} in epoch {epoch.number}: the training diverged. "
                "Lower the learning rate."
            )
