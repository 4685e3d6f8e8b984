"""The command-line options of all benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

from include.pipeline.data.splits import SPLITS


@dataclass(frozen=True)
class Options:
    """The extent and the data of the measurements.

    :param images: The maximum number of images per split, and the total number for staging; None for all images.
    :param rounds: The number of repetitions of short measurements.
    :param dataset: The location of the training data set; ``generated`` for generated images.
    """

    images: int | None = None
    rounds: int = 3
    dataset: str = "generated"

    def of_each_split(self) -> dict[str, int]:
        return {} if self.images is None else dict.fromkeys(SPLITS, self.images)
