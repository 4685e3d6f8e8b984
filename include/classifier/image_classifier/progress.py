"""How far a training has come: its finished epochs, the best one's weights, and the epoch under way."""

import copy
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from .distributed import Processes
from .history import Epoch, Metrics, Seconds
from .timing import StepClock


class Total:
    """Loss and right answers, summed on the device so that the GPU is not waited for in every batch.

    Sums over samples, not means over batches: trials with different batch sizes must be comparable.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.correct = torch.zeros((), device=device)
        self.samples = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its summed loss, its logits (N x C), and its labels (N)."""
        self.loss += loss
        self.correct += (logits.argmax(1) == labels).sum()
        self.samples += len(labels)

    def reduce(self, processes: Processes) -> Metrics:
        """Return the metrics over all processes."""
        loss, correct, samples = processes.sum([float(self.loss), float(self.correct), float(self.samples)])
        return Metrics(loss / max(samples, 1), correct / max(samples, 1))


class Progress:
    """A training that can be stopped after any step, and go on from there.

    :ivar best: the epoch with the lowest validation loss.
    :ivar steps: how many of the epoch under way are done.
    :ivar total: of these steps.
    :ivar learning_rate: of the last step.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.history: list[Epoch] = []
        self.best: Epoch | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.learning_rate = 0.0
        self.begin_epoch()

    @property
    def number(self) -> int:
        """The number, from 1, of the epoch under way."""
        return len(self.history) + 1

    @property
    def epochs_since_best(self) -> int:
        return len(self.history) - self.best.number if self.best else 0

    def begin_epoch(self) -> None:
        """Set the epoch under way back to its start."""
        self.steps = 0
        self.total = Total(self._processes.device)
        self.clock = StepClock(self._processes.device)

    def end_epoch(self, epoch: Epoch, network: nn.Module) -> None:
        """Take down an epoch, and keep the weights if it is the best so far."""
        self.history.append(epoch)
        if self.best is None or epoch.validation.loss < self.best.validation.loss:
            self.best = epoch
            self.best_weights = copy.deepcopy(network.state_dict())
        self.begin_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return all of it, with the totals of every process, each of which must ask."""
        own_total = (float(self.total.loss), float(self.total.correct), self.total.samples)
        return {
            "history": [epoch.to_line() for epoch in self.history],
            "best": self.best.number if self.best else None,
            "best_weights": self.best_weights,
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "totals": self._processes.gather(own_total),
            "seconds": asdict(self.clock.seconds()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [Epoch.from_line(line) for line in state["history"]]
        self.best = self.history[state["best"] - 1] if state["best"] else None
        self.best_weights = state["best_weights"]
        self.learning_rate = state["learning_rate"]
        self.steps = state["steps"]
        loss, correct, self.total.samples = state["totals"][self._processes.rank]
        self.total.loss.fill_(loss)
        self.total.correct.fill_(correct)
        self.clock = StepClock(self._processes.device, Seconds(**state["seconds"]))
