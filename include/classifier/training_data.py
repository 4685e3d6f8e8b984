"""Batches to train and validate on, of features or of images, shared out over the processes."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import feature_set
import model
import numpy as np
import torch
from data import EvalTransform, ImageDataset, Split, TrainTransform
from distributed import Processes
from errors import ClassifierError
from extraction import FeatureExtractor
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

# Batches of one epoch (numbered from 1), each as inputs and labels.
Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]

# The test split is for evaluate.py alone.
TRAINING_SPLITS = ("train", "valid")


@dataclass(frozen=True)
class TrainingData:
    """What one process trains on, and validates on.

    :param train: a new order every epoch, the same for any number of processes.
    :param validation: every sample exactly once over all processes.
    """

    train: Batches
    validation: Batches


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


def of_features(directory: Path, batch_size: int, seed: int, processes: Processes) -> TrainingData:
    """Train on the features that features.py saved."""
    arrays = {name: feature_set.read_split(directory, name) for name in TRAINING_SPLITS}
    return _in_memory(arrays, batch_size, seed, processes)


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
        share = split.paths[processes.rank :: processes.size]
        part = extractor.extract(share, transform, name, processes.print) if share else None
        features = np.empty((len(split.paths), classifier.dimensions), np.float32)
        for rank, extracted in enumerate(processes.gather(part)):
            if extracted is not None:
                features[rank :: processes.size] = extracted
        arrays[name] = (features, np.asarray(split.labels, np.int64))
    return _in_memory(arrays, batch_size, seed, processes)


def of_images(
    splits: dict[str, Split],
    train_transform: TrainTransform,
    eval_transform: EvalTransform,
    batch_size: int,
    seed: int,
    processes: Processes,
) -> TrainingData:
    """Train on augmented images, validate on their deterministic view."""
    train, valid = (splits[name] for name in TRAINING_SPLITS)
    local_batch_size = _local(batch_size, processes)
    sampler = _sampler(len(train.paths), seed, processes)
    train_loader = _loader(ImageDataset(train, train_transform), sampler, local_batch_size, processes)
    valid_loader = _loader(
        ImageDataset(valid, eval_transform), _share(len(valid.paths), processes), local_batch_size, processes
    )

    def train_batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        sampler.set_epoch(epoch)
        # Batch normalisation cannot learn from a batch of one.
        yield from ((inputs, labels) for inputs, labels in train_loader if len(labels) > 1)

    return TrainingData(train_batches, lambda epoch: valid_loader)


def _in_memory(
    arrays: dict[str, tuple[np.ndarray, np.ndarray]], batch_size: int, seed: int, processes: Processes
) -> TrainingData:
    train_x, train_y = (torch.from_numpy(array).to(processes.device) for array in arrays["train"])
    valid_x, valid_y = (torch.from_numpy(array).to(processes.device) for array in arrays["valid"])
    sampler = _sampler(len(train_y), seed, processes)
    share = torch.tensor(_share(len(valid_y), processes), dtype=torch.int64, device=processes.device)

    def train_batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        sampler.set_epoch(epoch)
        order = torch.tensor(list(sampler), device=processes.device)
        for indices in order.split(_local(batch_size, processes)):
            yield train_x[indices], train_y[indices]

    return TrainingData(train_batches, lambda epoch: [(valid_x[share], valid_y[share])])


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
    dataset: ImageDataset, sampler: Iterable[int], batch_size: int, processes: Processes
) -> DataLoader[tuple[Tensor, Tensor]]:
    # On a CPU the network is the bottleneck and loading processes would take its cores; on a GPU loading is.
    on_gpu = processes.device.type == "cuda"
    workers = min(os.cpu_count() or 1, 8) if on_gpu else 0
    return DataLoader(
        cast(Dataset, dataset),  # any object with a length and items will do
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
    )
