"""Fine-tunes a tiny network without batch normalization, alone or under torchrun, as train.py does.

Batch normalization takes its statistics from each process's share of a batch (on a GPU they are synchronized),
so on CPUs several processes can't give the very result of one with it.

python fine_tuning_job.py <data set> <where to write the metrics> [rank] [epoch] [step] [signal] [seconds]
With a rank, an epoch and a step, the process of this rank sends itself a signal, SIGTERM by default, after so many
steps of the epoch. After so many seconds a checkpoint is due. The classifier's folder must be on PYTHONPATH.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from image_classifier.imports import quick_imports

with quick_imports():
    import torch
    from image_classifier import checkpoint, distributed, layers, training_data
    from image_classifier.data import EvalTransform, TrainTransform, read_splits
    from image_classifier.model import HALF, Classifier
    from image_classifier.recipe import for_fine_tuning
    from image_classifier.training_data import Batch
    from image_classifier.training_loop import fit
    from torch import nn

BATCH_SIZE, EPOCHS = 4, 3


def main(
    data: Path,
    output: Path,
    rank: int = -1,
    in_epoch: int = -1,
    step: int = -1,
    ended_by: int = signal.SIGTERM,
    seconds_between: float = checkpoint.SECONDS_BETWEEN,
) -> None:
    with distributed.join() as processes:
        splits = read_splits(data, training_data.TRAINING_SPLITS)
        transforms = TrainTransform(16, HALF), EvalTransform(16, HALF)
        batches = training_data.of_images(splits, *transforms, BATCH_SIZE, 0, processes)

        def told_to_end(epoch: int, start: int) -> Iterator[Batch]:
            for number, batch in enumerate(batches.train(epoch, start), start):
                if (processes.rank, epoch, number) == (rank, in_epoch, step):
                    os.kill(os.getpid(), ended_by)
                yield batch

        torch.manual_seed(0)
        backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 8, 3),
            nn.GroupNorm(2, 8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        classifier = Classifier(backbone, "", dimensions=8, classes=3)
        layers.freeze(classifier, "last_1")
        recipe = for_fine_tuning(
            classifier,
            processes.device,
            learning_rate=0.1,
            steps=EPOCHS * batches.steps,
            warmup_steps=batches.steps,
            label_smoothing=0.1,
            classes=3,
        )
        progress, _ = fit(
            classifier,
            recipe,
            replace(batches, train=told_to_end),
            processes,
            epochs=EPOCHS,
            patience=EPOCHS,
            checkpoints=checkpoint.find({"processes": processes.size}, processes, seconds_between),
        )
        if processes.is_first:
            output.write_text(json.dumps([epoch.metrics for epoch in progress.history]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(value) for value in sys.argv[3:]))
    threads = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    # One write, because the other process writes to the same pipe.
    sys.stdout.write(f"Threads of Gloo: {sum('gloo' in name for name in threads)}\n")
