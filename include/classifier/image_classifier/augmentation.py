"""The augmented views of a split's images, each drawn from the seed, the view and the image alone."""

import numpy as np

from .data import Split, TrainTransform
from .images import open_image


class AugmentedImages:
    """The images of a split as (float32 array of 3 x S x S, label), under a key of view and index.

    Equal keys give equal views, whichever process or thread asks, and in whatever order: so a training that
    is repeated, resumed in the middle of an epoch, or shared by several processes sees the same images.
    """

    def __init__(self, split: Split, transform: TrainTransform, seed: int) -> None:
        self.split = split
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.split.paths)

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, int]:
        view, index = key
        image = open_image(self.split.paths[index])
        random = np.random.default_rng((self.seed, view, index))
        return self.transform(image, random), self.split.labels[index]
