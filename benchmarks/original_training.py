"""Train with the original project's approach, and print the time and accuracy of each epoch as JSON.

It runs in its own process, since memory allocation and the number of threads are fixed when a process starts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks import original

PARTS = ("head", "all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, valid/ and test/")
    parser.add_argument("--weights", type=Path, help="weights of the backbone; random by default")
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--train-layers", choices=PARTS, default="head")
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    print(json.dumps(train(parser.parse_args())))


def train(arguments: argparse.Namespace) -> dict[str, object]:
    """Train, and return ``epochs``, each with its times and validation accuracy, and ``test_accuracy``."""
    torch.manual_seed(0)
    classes = sum(path.is_dir() for path in (arguments.data / "train").iterdir())
    network = original.build(arguments.architecture, classes, arguments.weights)
    if arguments.train_layers == "head":
        original.freeze(network, arguments.architecture)
    optimizer = original.adam(network, arguments.learning_rate)
    train_data = original.batches(arguments.data / "train", original.TRAIN_TRANSFORM, arguments.batch_size)
    valid_data, test_data = (
        original.batches(arguments.data / split, original.TEST_TRANSFORM, arguments.batch_size)
        for split in ("valid", "test")
    )
    epochs = []
    for _ in range(arguments.epochs):
        begun = time.perf_counter()
        images = original.train(network, train_data, optimizer)
        trained = time.perf_counter()
        accuracy = original.accuracy(network, valid_data)
        epochs.append(
            {
                "images": images,
                "train_seconds": trained - begun,
                "validation_seconds": time.perf_counter() - trained,
                "validation_accuracy": accuracy,
            }
        )
    return {"epochs": epochs, "test_accuracy": original.accuracy(network, test_data)}


if __name__ == "__main__":
    main()
