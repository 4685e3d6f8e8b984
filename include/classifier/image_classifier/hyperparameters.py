"""The hyperparameters of a training: their types, defaults and limits.

The training script parses them, and Airflow checks project files with the same limits, so the file imports no
PyTorch.
"""

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def train_layers(text: str) -> str:
    """Return the name of the layers to train.

    :raises argparse.ArgumentTypeError: it is not one.
    """
    if not re.fullmatch(r"head|all|last_[1-9]\d{0,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of head, all and last_<n>")
    return text


def boolean(text: str) -> bool:
    """Return true or false as a boolean.

    :raises argparse.ArgumentTypeError: it is neither.
    """
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter. A limit that is None does not exist."""

    parse: Callable[[str], Any]
    default: Any
    help: str
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def fault(self, value: float | None) -> str | None:
        """Return which limit a value violates, for the middle of a sentence, or None."""
        if value is None:
            return None
        if self.above is not None and not value > self.above:
            return f"must be above {self.above:g}"
        if self.at_least is not None and not value >= self.at_least:
            return f"must be {self.at_least:g} or more"
        if self.below is not None and not value < self.below:
            return f"must be below {self.below:g}"
        if self.at_most is not None and not value <= self.at_most:
            return f"must be {self.at_most:g} or less"
        if isinstance(value, float) and not math.isfinite(value):
            return "must be a finite number"
        return None


HYPERPARAMETERS = {
    "learning_rate": Hyperparameter(float, 0.01, "usually 0.001 to 0.1", above=0),
    "batch_size": Hyperparameter(int, 64, "over all processes; usually 32 to 512", at_least=1),
    "epochs": Hyperparameter(int, 10, "at most so many", at_least=1, at_most=1000),
    "patience": Hyperparameter(int, 3, "epochs without a lower validation loss", at_least=1),
    "architecture": Hyperparameter(str, "efficientnet_lite0", "of the backbone"),
    "image_size": Hyperparameter(int, 224, "side of the model's input, in pixels", at_least=32, at_most=1024),
    "train_layers": Hyperparameter(
        train_layers, "head", "head, all, or last_<n>: the last n blocks of the backbone and the head"
    ),
    "seed": Hyperparameter(int, 0, "of the random numbers", at_least=0),
    "checkpoint_minutes": Hyperparameter(float, 5, "how old one may become", above=0, at_most=1440),
    "int8_max_accuracy_drop": Hyperparameter(
        float, None, "serve in int8 if validation accuracy falls by no more", at_least=0, at_most=1
    ),
    # For train_layers all or last_<n>.
    "warmup_epochs": Hyperparameter(float, 1.0, "at most half of the training", at_least=0),
    "label_smoothing": Hyperparameter(float, 0.1, "share of the probability", at_least=0, below=1),
    "mixup": Hyperparameter(float, 0.0, "alpha, usually 0.2; 0 for none", at_least=0),
    "cutmix": Hyperparameter(float, 0.0, "alpha, usually 1; 0 for none", at_least=0),
    "amp": Hyperparameter(boolean, True, "true or false: mixed precision on a GPU"),
}
