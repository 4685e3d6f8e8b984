"""Save an architecture with random weights, as train.py saves a trained model.

``python -m benchmarks.random_model <architecture> <classes> <folder of photos> <output>``; for architectures without
available trained weights, since the latency does not depend on the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from image_classifier import export, model
from image_classifier.data import EvalTransform

IMAGE_SIZE = 224


def main(architecture: str, classes: str, photos: str, output: str) -> None:
    torch.manual_seed(0)
    classifier = model.build(architecture, int(classes), IMAGE_SIZE)
    transform = EvalTransform(IMAGE_SIZE, model.normalization(architecture))
    inputs = torch.stack([torch.from_numpy(transform.load(p)) for p in sorted(Path(photos).iterdir())])
    for layer in classifier.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            # Set the batch statistics from the photos. With the initial ones, activations would grow in each layer.
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
