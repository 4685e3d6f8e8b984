"""Training job: train a classifier on the channels that SageMaker provides, and save it to be served."""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import nn

from . import checkpoint, distributed, export, layers, model, training_data
from .data import EvalTransform, TrainTransform, read_splits
from .distributed import Processes
from .errors import ClassifierError
from .history import Epoch
from .hyperparameters import HYPERPARAMETERS
from .recipe import Recipe, for_fine_tuning, for_head
from .training_data import TRAINING_SPLITS, TrainingData
from .training_loop import fit


@dataclass(frozen=True)
class Channels:
    """Where SageMaker puts a training job's inputs, and takes its results from."""

    features: Path | None
    training: Path | None
    pretrained: Path | None
    model: Path
    output_data: Path

    @classmethod
    def from_environment(cls) -> "Channels":
        """Read the SM_* variables that the SageMaker training toolkit sets."""

        def path(name: str) -> Path | None:
            return Path(os.environ[name]) if os.environ.get(name) else None

        return cls(
            features=path("SM_CHANNEL_FEATURES"),
            training=path("SM_CHANNEL_TRAINING"),
            pretrained=path("SM_CHANNEL_PRETRAINED"),
            model=path("SM_MODEL_DIR") or Path("/opt/ml/model"),
            output_data=path("SM_OUTPUT_DATA_DIR") or Path("/opt/ml/output/data"),
        )


class _Parser(argparse.ArgumentParser):
    """Hyperparameters come from a job's definition, not from a shell: no usage text, one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ClassifierError(f"The hyperparameters are not usable: {message}.")


def parse_hyperparameters(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the hyperparameters from the command line, as the SageMaker training toolkit passes them.

    :raises ClassifierError: one is unknown or out of its range.
    """
    parser = _Parser(description=__doc__)
    for name, known in HYPERPARAMETERS.items():
        parser.add_argument(f"--{name}", type=known.parse, default=known.default, help=known.help)
    hyperparameters = parser.parse_args(arguments)
    for name, known in HYPERPARAMETERS.items():
        value = getattr(hyperparameters, name)
        if fault := known.fault(value):
            parser.error(f"{name} is {value} but {fault}")
    return hyperparameters


def main() -> None:
    """Train as the command line and the environment say."""
    hyperparameters = parse_hyperparameters()
    channels = Channels.from_environment()
    with distributed.join() as processes:
        train(hyperparameters, channels, processes)


def train(hyperparameters: argparse.Namespace, channels: Channels, processes: Processes) -> Epoch:
    """Train and save a classifier, and return its best epoch.

    :raises ClassifierError: the channels do not go together or hold unusable data, or the training diverged.
    """
    _check_channels(hyperparameters, channels)
    classifier, classes, data = _prepare(hyperparameters, channels, processes)
    network, recipe = _trained_part(classifier, hyperparameters, data, classes, processes)
    if hyperparameters.train_layers == "head":
        # Its matrices are too small to share: threads would wait for each other, and slow parallel trials.
        torch.set_num_threads(1)
    torch.manual_seed(hyperparameters.seed + processes.rank)  # so that each process mixes images differently
    # All that decides the result; not how often it is saved.
    settings = {name: value for name, value in vars(hyperparameters).items() if name != "checkpoint_minutes"}
    settings |= {"classes": classes, "steps": data.steps, "processes": processes.size}
    progress, diagnosis = fit(
        network,
        recipe,
        data,
        processes,
        epochs=hyperparameters.epochs,
        patience=hyperparameters.patience,
        checkpoints=checkpoint.find(settings, processes, hyperparameters.checkpoint_minutes * 60),
    )
    best = progress.best
    assert best is not None
    processes.print(f"best:validation_loss={best.validation.loss:.6f}")
    processes.print(f"best:validation_accuracy={best.validation.accuracy:.6f}")
    if processes.is_first:
        channels.output_data.mkdir(parents=True, exist_ok=True)
        lines = [epoch.to_line() for epoch in progress.history]
        (channels.output_data / "history.json").write_text(json.dumps(lines, indent=2))
        (channels.output_data / "diagnosis.json").write_text(json.dumps(diagnosis.findings, indent=2))
        export.save(
            classifier,
            channels.model,
            architecture=hyperparameters.architecture,
            image_size=hyperparameters.image_size,
            classes=classes,
            metrics=best.metrics,
            hyperparameters=vars(hyperparameters),
            int8=_int8(hyperparameters, channels),
        )
    return best


def _check_channels(hyperparameters: argparse.Namespace, channels: Channels) -> None:
    train_layers = hyperparameters.train_layers
    if train_layers != "all" and channels.pretrained is None:
        raise ClassifierError(
            f"train_layers is {train_layers} but there is no pretrained channel, and layers cannot learn on what "
            "random weights before them see. Add the channel or set train_layers to all."
        )
    if train_layers == "head" and not (channels.features or channels.training):
        raise ClassifierError("There is neither a features nor a training channel to train on.")
    if train_layers != "head" and channels.training is None:
        raise ClassifierError(
            f"train_layers is {train_layers} but there is no training channel with the images."
        )
    if hyperparameters.int8_max_accuracy_drop is not None and channels.training is None:
        raise ClassifierError(
            "int8_max_accuracy_drop is given but there is no training channel, with the images to calibrate and "
            "measure the int8 model on. Add the channel or leave the hyperparameter out."
        )


def _prepare(
    hyperparameters: argparse.Namespace, channels: Channels, processes: Processes
) -> tuple[model.Classifier, list[str], TrainingData]:
    """Return the classifier, moved to the device, the names of its classes, and what to train it on."""
    architecture, image_size = hyperparameters.architecture, hyperparameters.image_size
    batching = (hyperparameters.batch_size, hyperparameters.seed, processes)
    if hyperparameters.train_layers == "head" and channels.features is not None:
        info = training_data.read_features(channels.features, architecture, image_size)
        classifier, sha256 = _build(hyperparameters, info.classes, channels)
        if sha256 != info.pretrained_sha256:
            raise ClassifierError(
                "The features were made with other pretrained weights than those in the pretrained channel; "
                "run features.py again or give the channel the weights it used."
            )
        data = training_data.of_features(channels.features, info.augmented_views, *batching)
        return classifier.to(processes.device), info.classes, data

    assert channels.training is not None
    splits = read_splits(channels.training, TRAINING_SPLITS)
    classes = splits["train"].classes
    classifier, _ = _build(hyperparameters, classes, channels)
    normalization = model.normalization(architecture)
    eval_transform = EvalTransform(image_size, normalization)
    if hyperparameters.train_layers == "head":
        data = training_data.of_extracted_features(splits, classifier, eval_transform, *batching)
    else:
        train_transform = TrainTransform(image_size, normalization)
        data = training_data.of_images(splits, train_transform, eval_transform, *batching)
    return classifier.to(processes.device), classes, data


def _build(
    hyperparameters: argparse.Namespace, classes: list[str], channels: Channels
) -> tuple[model.Classifier, str | None]:
    """Return the classifier, and the sha256 of its pretrained weights if it has any."""
    torch.manual_seed(hyperparameters.seed)
    classifier = model.build(hyperparameters.architecture, len(classes), hyperparameters.image_size)
    return classifier, model.load_pretrained(classifier, channels.pretrained) if channels.pretrained else None


def _trained_part(
    classifier: model.Classifier,
    hyperparameters: argparse.Namespace,
    data: TrainingData,
    classes: list[str],
    processes: Processes,
) -> tuple[nn.Module, Recipe]:
    steps = hyperparameters.epochs * data.steps
    if hyperparameters.train_layers == "head":
        return classifier.head, for_head(classifier.head, hyperparameters.learning_rate, steps)
    layers.freeze(classifier, hyperparameters.train_layers)
    # All images have the same size, so it pays to try which of cuDNN's algorithms is the fastest for it.
    torch.backends.cudnn.benchmark = True
    return classifier, for_fine_tuning(
        classifier,
        processes.device,
        learning_rate=hyperparameters.learning_rate,
        steps=steps,
        warmup_steps=min(round(hyperparameters.warmup_epochs * data.steps), steps // 2),
        label_smoothing=hyperparameters.label_smoothing,
        mixup=hyperparameters.mixup,
        cutmix=hyperparameters.cutmix,
        classes=len(classes),
        mixed_precision=hyperparameters.amp,
    )


def _int8(hyperparameters: argparse.Namespace, channels: Channels) -> export.Int8Options | None:
    if hyperparameters.int8_max_accuracy_drop is None:
        return None
    assert channels.training is not None
    return export.Int8Options(hyperparameters.int8_max_accuracy_drop, channels.training)
