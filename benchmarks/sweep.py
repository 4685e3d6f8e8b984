"""Benchmark tuning a head: 8 settings x 10 epochs on features computed once, against the whole network every time."""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import tarfile
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import classifier_jobs
from benchmarks.classifier_jobs import LITE0
from benchmarks.dataset import Images, unpack
from benchmarks.options import Options
from benchmarks.results import Result, cheaper, faster

SETTINGS = [
    {"learning_rate": rate, "batch_size": size}
    for rate, size in itertools.product((0.001, 0.003, 0.01, 0.03), (32, 128))
]
EPOCHS = 10
# The settings with which the original approach is trained, each for the one epoch after which it always stopped.
MEASURED = [{"learning_rate": 0.001, "batch_size": 32}, {"learning_rate": 0.01, "batch_size": 128}]


@dataclass(frozen=True)
class Outcome:
    """The duration of a sweep, and the accuracies of its best setting."""

    seconds: float
    validation_accuracy: float
    test_accuracy: float


def run(options: Options) -> list[Result]:
    """Compare the duration of a whole sweep and the accuracy of the best model."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        images = unpack(options.dataset, Path(scratch, "images"), options.of_each_split())
        weights = classifier_jobs.lite0_weights(Path(scratch, "weights"))
        mine = ours(images, weights, Path(scratch))
        measured = MEASURED[: options.rounds]
        theirs = original(images, weights, measured)
    name = f"sweep, {len(SETTINGS)} settings x {EPOCHS} epochs, {LITE0}, {images.name}"
    way = "whole network every epoch"
    whole = f"{way}, extrapolated from {len(measured)} of {len(SETTINGS) * EPOCHS} epochs"
    single = f"{way}, best of {len(measured)} after its one epoch"
    return [
        cheaper(name, mine.seconds, theirs.seconds, whole, "s"),
        faster(
            "sweep, its validation accuracy",
            100 * mine.validation_accuracy,
            100 * theirs.validation_accuracy,
            single,
            "%",
        ),
        faster("sweep, its test accuracy", 100 * mine.test_accuracy, 100 * theirs.test_accuracy, single, "%"),
    ]


def ours(images: Images, weights: Path, scratch: Path) -> Outcome:
    """Extract features and train every setting, each in its own process as in a job; measure the total time.

    The number of parallel trainings is the number of cores, since a head trains with one thread. The best setting is
    the one with the lowest validation loss, as in the pipeline's tuning. Its evaluation, with the serving code, is not
    measured.
    """
    features = scratch / "features"
    begun = time.perf_counter()
    classifier_jobs.extract_features(images.folder, weights, features)

    def trial(number: int) -> tuple[float, float]:
        folder = scratch / f"trial {number}"
        channels = {"features": features, "pretrained": weights}
        hyperparameters = {**SETTINGS[number], "epochs": EPOCHS, "patience": EPOCHS}
        printed = classifier_jobs.train(folder, channels, hyperparameters)
        loss, accuracy = (
            float(re.findall(rf"^best:validation_{metric}=(\S+)$", printed, re.MULTILINE)[0])
            for metric in ("loss", "accuracy")
        )
        return loss, accuracy

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        trials = list(pool.map(trial, range(len(SETTINGS))))
    seconds = time.perf_counter() - begun
    best = trials.index(min(trials))
    return Outcome(seconds, trials[best][1], served_accuracy(scratch / f"trial {best}", images))


def served_accuracy(trial: Path, images: Images) -> float:
    """Return the accuracy on the test images that evaluate.py computes for a trained model."""
    with tarfile.open(trial / "model.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(trial / "model", arcname=".")
    data, output = images.folder / "test", trial / "evaluation"
    classifier_jobs.run_script("evaluate.py", "--data", data, "--candidate", trial, "--output", output)
    accuracy: float = json.loads((output / "evaluation.json").read_text())["candidate"]["accuracy"]
    return accuracy


def original(images: Images, weights: Path, settings: Sequence[dict[str, Any]]) -> Outcome:
    """Train some settings with the original approach for one epoch, and extrapolate to all settings and epochs."""
    trained = [train_original(images, weights, setting) for setting in settings]
    epochs = [one["epochs"][0] for one in trained]
    accuracies = [epoch["validation_accuracy"] for epoch in epochs]
    best = accuracies.index(max(accuracies))
    seconds = extrapolated([epoch["train_seconds"] + epoch["validation_seconds"] for epoch in epochs])
    return Outcome(seconds, accuracies[best], trained[best]["test_accuracy"])


def extrapolated(epoch_seconds: Sequence[float]) -> float:
    """Return the duration of all epochs of all settings, from the average of the measured epochs.

    All epochs do the same work: a forward pass of the whole network for all images of train and valid. The start of
    processes and the loading of weights are not included, in favor of the original.
    """
    return statistics.mean(epoch_seconds) * len(SETTINGS) * EPOCHS


def train_original(images: Images, weights: Path, setting: dict[str, Any]) -> dict[str, Any]:
    """Train for one epoch in a separate process; see :mod:`benchmarks.original_training`."""
    arguments = ["--data", images.folder, "--weights", next(weights.glob("*.pth")), "--architecture", LITE0]
    arguments += ["--learning-rate", setting["learning_rate"], "--batch-size", setting["batch_size"]]
    trained: dict[str, Any] = json.loads(classifier_jobs.run_module("original_training", *arguments))
    return trained
