"""Benchmark fine-tuning a whole network, in images per second, against the original loop."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks import classifier_jobs
from benchmarks.dataset import Images, unpack
from benchmarks.options import Options
from benchmarks.results import Result, faster
from include.pipeline.job_requests import MALLOC

ARCHITECTURE = "resnet50"
BATCH_SIZE = 32
TRAINED_ON = 96
VALIDATED_ON = 10
LEARNING_RATE = 0.01
# Only the last one is measured. During the others, memory is allocated and kernels are selected.
EPOCHS = 2
PEER = "the original's loop, not frozen"


def run(options: Options) -> list[Result]:
    """Compare one epoch of both, including a few validation images, each in its own process."""
    trained_on = min(TRAINED_ON, options.images or TRAINED_ON)
    at_most = {"train": trained_on, "valid": VALIDATED_ON, "test": VALIDATED_ON}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        images = unpack(options.dataset, scratch / "images", at_most)
        speeds = ours(images, scratch / "job"), original(images)
    return [faster(f"train, {ARCHITECTURE}, all layers, batch {BATCH_SIZE}", *speeds, PEER, "images/s")]


def ours(images: Images, job: Path) -> float:
    """Return trained images per second, with the memory settings of the pipeline's training jobs."""
    hyperparameters = {
        "architecture": ARCHITECTURE,
        "train_layers": "all",
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "epochs": EPOCHS,
        "patience": EPOCHS,
    }
    classifier_jobs.train(job, {"training": images.folder}, hyperparameters, MALLOC)
    last = json.loads((job / "output" / "history.json").read_text())[-1]
    return float(len(images.split("train")) / last["seconds"])


def original(images: Images) -> float:
    """Return trained images per second; see :mod:`benchmarks.original_training`."""
    arguments = ["--data", images.folder, "--architecture", ARCHITECTURE, "--train-layers", "all"]
    arguments += ["--learning-rate", LEARNING_RATE, "--batch-size", BATCH_SIZE, "--epochs", EPOCHS]
    last = json.loads(classifier_jobs.run_module("original_training", *arguments))["epochs"][-1]
    return float(last["images"] / (last["train_seconds"] + last["validation_seconds"]))
