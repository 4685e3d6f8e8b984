"""The history of a training: what each epoch came to, and where its time went."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metrics:
    """Mean loss per sample, and the share of samples whose most probable class is right."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Seconds:
    """How long an epoch took.

    :param data: waiting for batches, and copying them to the device.
    :param forward: the network's answers and the loss.
    :param backward: the gradients and the optimizer.
    :param other: the rest, which is mostly validation.
    """

    data: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    other: float = 0.0

    @property
    def total(self) -> float:
        return self.data + self.forward + self.backward + self.other


@dataclass(frozen=True)
class Epoch:
    """What one epoch (numbered from 1) came to.

    :param train: the loss that was minimized, with label smoothing and mixed images where they are used.
    :param validation: the plain cross-entropy, so that trainings with different settings can be compared.
    :param learning_rate: of the epoch's last step.
    :param seconds: is left out when epochs are compared.
    """

    number: int
    train: Metrics
    validation: Metrics
    learning_rate: float = 0.0
    seconds: Seconds = field(default=Seconds(), compare=False)

    @property
    def metrics(self) -> dict[str, float]:
        """The epoch's metrics by name, for example validation_loss."""
        return {
            "train_loss": self.train.loss,
            "train_accuracy": self.train.accuracy,
            "validation_loss": self.validation.loss,
            "validation_accuracy": self.validation.accuracy,
        }

    def to_line(self) -> dict[str, float]:
        """Return the epoch as history.json has it."""
        return {
            "epoch": self.number,
            **self.metrics,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds.total,
            "data_seconds": self.seconds.data,
            "forward_seconds": self.seconds.forward,
            "backward_seconds": self.seconds.backward,
            "other_seconds": self.seconds.other,
        }

    @classmethod
    def from_line(cls, line: dict[str, float]) -> "Epoch":
        """Return the epoch that :meth:`to_line` wrote."""
        return cls(
            int(line["epoch"]),
            Metrics(line["train_loss"], line["train_accuracy"]),
            Metrics(line["validation_loss"], line["validation_accuracy"]),
            line["learning_rate"],
            Seconds(*(line[f"{part}_seconds"] for part in ("data", "forward", "backward", "other"))),
        )
