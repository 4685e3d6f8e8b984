"""Fine-tuning a whole network: images per second, against the original's loop."""

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
# Of which the last is measured; until then memory is asked for and kernels are chosen.
EPOCHS = 2
PEER = "the original's loop, not frozen"


def run(options: Options) -> list[Result]:
    """Compare a whole epoch of both, few images of validation included, each in a process of its own."""
    trained_on = min(TRAINED_ON, options.images or TRAINED_ON)
    at_most = {"train": trained_on, "valid": VALIDATED_ON, "test": VALIDATED_ON}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        images = unpack(options.dataset, scratch / "images", at_most)
        speeds = ours(images, scratch / "job"), original(images)
    return [faster(f"train, {ARCHITECTURE}, all layers, batch {BATCH_SIZE}", *speeds, PEER, "images/s")]


def ours(images: Images, job: Path) -> float:
    """Trained images per second, with the memory settings that the pipeline gives its training jobs."""
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
    """Trained images per second; see :mod:`benchmarks.original_training`."""
    told = ["--data", images.folder, "--architecture", ARCHITECTURE, "--train-layers", "all"]
    told += ["--learning-rate", LEARNING_RATE, "--batch-size", BATCH_SIZE, "--epochs", EPOCHS]
    last = json.loads(classifier_jobs.run_module("original_training", *told))["epochs"][-1]
    return float(last["images"] / (last["train_seconds"] + last["validation_seconds"]))
