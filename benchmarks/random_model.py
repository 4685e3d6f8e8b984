"""Saves an architecture with random weights as train.py saves a trained one.

``python -m benchmarks.random_model <architecture> <classes> <folder of photos> <output>``; for architectures whose
trained weights can't be had here: how long an answer takes does not depend on what the weights are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import export
import model
import torch
from data import EvalTransform

IMAGE_SIZE = 224


def main(architecture: str, classes: str, photos: str, output: str) -> None:
    torch.manual_seed(0)
    classifier = model.build(architecture, int(classes), IMAGE_SIZE)
    transform = EvalTransform(IMAGE_SIZE, model.normalisation(architecture))
    inputs = torch.stack([torch.from_numpy(transform.load(p)) for p in sorted(Path(photos).iterdir())])
    for layer in classifier.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            # It learns what it sees, at once: with its first statistics, numbers would grow from layer to layer.
            layer.momentum = None
    with torch.no_grad():
        classifier.train()(inputs)
    export.save(
        classifier,
        Path(output),
        architecture=architecture,
        image_size=IMAGE_SIZE,
        classes=[f"{number:03d}.class" for number in range(int(classes))],
        metrics={},
        hyperparameters={},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
