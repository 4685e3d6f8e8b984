"""What a training in the tests' own process leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Trained:
    """A training that is done.

    :param best: its best epoch, a history.Epoch.
    :param model: the folder that would become model.tar.gz.
    :param output_data: the folder with history.json.
    """

    best: Any
    model: Path
    output_data: Path


RunTraining = Callable[..., Trained]
