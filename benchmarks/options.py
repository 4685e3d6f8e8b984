"""What the command line says to every group of benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

from include.pipeline.data.dataset import SPLITS


@dataclass(frozen=True)
class Options:
    """How much is measured, and on what.

    :param images: at most so many images of each split; staging sends so many in all. None: as many as there are.
    :param rounds: how often what is quick is measured.
    :param dataset: address of the data set to train on; ``generated`` for drawn pictures.
    """

    images: int | None = None
    rounds: int = 3
    dataset: str = "generated"

    def of_each_split(self) -> dict[str, int]:
        return {} if self.images is None else dict.fromkeys(SPLITS, self.images)
