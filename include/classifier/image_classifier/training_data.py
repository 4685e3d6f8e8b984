"""Batches to train and validate on, of features or of images, shared out over the processes."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from . import feature_set, model
from .augmentation import AugmentedImages
from .data import EvalTransform, ImageDataset, Split, TrainTransform
from .distributed import Processes
from .errors import ClassifierError
from .extraction import FeatureExtractor

# Inputs and labels.
Batch = tuple[Tensor, Tensor]

# The test split is for evaluate.py alone.
TRAINING_SPLITS = ("train", "valid")


@dataclass(frozen=True)
class TrainingData:
    """What one process trains on, and validates on.

    :param train: the batches of an epoch (numbered from 1), from a step (numbered from 0) on; a new order every
        epoch, the same for any number of processes.
    :param validation: the batches after an epoch: every sample exactly once over all processes.
    :param steps: how many batches of an epoch each process trains on.
    :param validation_steps: how many it validates on at most; some processes may have one batch less.
    """

    train: Callable[[int, int], Iterable[Batch]]
    validation: Callable[[int], Iterable[Batch]]
    steps: int
    validation_steps: int


def read_features(directory: Path, architecture: str, image_size: int) -> feature_set.FeatureSetInfo:
    """Read what a features channel holds.

    :raises ClassifierError: it was made by another architecture or at another image size.
    """
    info = feature_set.read_info(directory)
    if (info.architecture, info.image_size) != (architecture, image_size):
        raise ClassifierError(
            f"The features were made by {info.architecture} at {info.image_size} pixels, but the "
            f"hyperparameters say {architecture} at {image_size}; run features.py again or change them."
        )
    return info


def of_features(
    directory: Path, augmented_views: int, batch_size: int, seed: int, processes: Processes
) -> TrainingData:
    """Train on the features that features.py saved: epochs go through the views in turn."""
    views = [feature_set.read_split(directory, "train", view)[0] for view in range(augmented_views + 1)]
    labels = feature_set.read_split(directory, "train")[1]
    valid = feature_set.read_split(directory, "valid")
    return _in_memory(views, labels, valid, batch_size, seed, processes)


def of_extracted_features(
    splits: dict[str, Split],
    classifier: model.Classifier,
    transform: EvalTransform,
    batch_size: int,
    seed: int,
    processes: Processes,
) -> TrainingData:
    """Train on features that are computed here, once, each process doing its share of the images."""
    extractor = FeatureExtractor(classifier, transform.image_size)
    arrays = {}
    for name, split in splits.items():
        images = ImageDataset(split, transform)
        share = _share(len(images), processes)
        part = extractor.extract(images, share, name, processes.print) if share else None
        features = np.empty((len(images), classifier.dimensions), np.float32)
        for rank, extracted in enumerate(processes.gather(part)):
            if extracted is not None:
                features[rank :: processes.size] = extracted
        arrays[name] = (features, np.asarray(split.labels, np.int64))
    (train_x, train_y), valid = arrays["train"], arrays["valid"]
    return _in_memory([train_x], train_y, valid, batch_size, seed, processes)


def of_images(
    splits: dict[str, Split],
    train_transform: TrainTransform,
    eval_transform: EvalTransform,
    batch_size: int,
    seed: int,
    processes: Processes,
) -> TrainingData:
    """Train on augmented images, a new view of each in every epoch; validate on their deterministic view.

    :raises ClassifierError: the batch size or the data set leaves a process with fewer than two images.
    """
    train, valid = (splits[name] for name in TRAINING_SPLITS)
    local_batch_size = _local(batch_size, processes)
    order = _EpochOrder(_sampler(len(train.paths), seed, processes), local_batch_size)
    if min(len(order), local_batch_size) < 2:
        raise ClassifierError(
            f"A batch size of {batch_size} and {len(train.paths)} train images are too few for {processes.size} "
            "process(es): each must have at least two images in a batch, or batch normalization cannot learn."
        )
    train_images = AugmentedImages(train, train_transform, seed)
    train_loader = _loader(train_images, order, local_batch_size, processes)
    share = _share(len(valid.paths), processes)
    valid_loader = _loader(ImageDataset(valid, eval_transform), share, local_batch_size, processes)

    def train_batches(epoch: int, start: int) -> Iterable[Batch]:
        order.epoch, order.start = epoch, start * local_batch_size
        return train_loader

    most = math.ceil(len(valid.paths) / processes.size)
    return TrainingData(
        train_batches,
        lambda epoch: valid_loader,
        steps=math.ceil(len(order) / local_batch_size),
        validation_steps=math.ceil(most / local_batch_size),
    )


class _EpochOrder:
    """The keys of one process's images in an epoch: pairs of the epoch and the image's index.

    Set the epoch, and how many images of it to leave out because they were trained on, before iterating.
    """

    def __init__(self, sampler: DistributedSampler, batch_size: int) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.epoch = 1
        self.start = 0

    def __len__(self) -> int:
        # Batch normalization cannot learn from a batch of one, so a last one of that size is left out.
        return len(self.sampler) - (1 if len(self.sampler) % self.batch_size == 1 else 0)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        self.sampler.set_epoch(self.epoch)
        for index in list(self.sampler)[self.start : len(self)]:
            yield self.epoch, index


def _in_memory(
    views: list[np.ndarray],
    labels: np.ndarray,
    valid: tuple[np.ndarray, np.ndarray],
    batch_size: int,
    seed: int,
    processes: Processes,
) -> TrainingData:
    train_x = [torch.from_numpy(view).to(processes.device) for view in views]
    train_y = torch.from_numpy(labels).to(processes.device)
    valid_x, valid_y = (torch.from_numpy(array).to(processes.device) for array in valid)
    sampler = _sampler(len(train_y), seed, processes)
    share = torch.tensor(_share(len(valid_y), processes), dtype=torch.int64, device=processes.device)
    local_batch_size = _local(batch_size, processes)

    def train_batches(epoch: int, start: int) -> Iterator[Batch]:
        sampler.set_epoch(epoch)
        order = torch.tensor(list(sampler), device=processes.device)
        x = train_x[(epoch - 1) % len(train_x)]
        for indices in order.split(local_batch_size)[start:]:
            yield x[indices], train_y[indices]

    return TrainingData(
        train_batches,
        lambda epoch: [(valid_x[share], valid_y[share])],
        steps=math.ceil(len(sampler) / local_batch_size),
        validation_steps=1,
    )


def _local(batch_size: int, processes: Processes) -> int:
    """Return one process's part of the global batch."""
    return max(1, batch_size // processes.size)


def _sampler(samples: int, seed: int, processes: Processes) -> DistributedSampler:
    # Also for a single process: its global batches are then those of several, and the results agree.
    dataset = cast(Dataset, range(samples))  # of which only the length is asked
    return DistributedSampler(dataset, processes.size, processes.rank, shuffle=True, seed=seed)


def _share(samples: int, processes: Processes) -> list[int]:
    # Not a DistributedSampler, which repeats samples until each process has the same number.
    return list(range(processes.rank, samples, processes.size))


def _loader(
    dataset: AugmentedImages | ImageDataset,
    keys: Iterable[int] | _EpochOrder,
    batch_size: int,
    processes: Processes,
) -> DataLoader[Batch]:
    # On a CPU the network is the bottleneck and loading processes would take its cores; on a GPU loading is.
    on_gpu = processes.device.type == "cuda"
    workers = min(os.cpu_count() or 1, 8) if on_gpu else 0
    return DataLoader(
        cast(Dataset, dataset),  # any object with a length and items will do
        batch_size=batch_size,
        sampler=cast(Iterable, keys),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
        # Else every epoch would draw from the generator that mixes images and drops units.
        generator=torch.Generator(),
    )
