"""Training job: train a classifier on the channels that SageMaker provides, and save it to be served."""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import distributed
import export
import model
import torch
import training_data
from data import EvalTransform, TrainTransform, read_splits
from distributed import Processes
from errors import ClassifierError, run_program
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from training_data import TRAINING_SPLITS, TrainingData
from training_loop import Epoch, fit


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
    parser.add_argument("--learning_rate", type=float, default=0.01, help="usually 0.001 to 0.1")
    parser.add_argument("--batch_size", type=int, default=64, help="over all processes; usually 32 to 512")
    parser.add_argument("--epochs", type=int, default=10, help="at most so many")
    parser.add_argument("--patience", type=int, default=3, help="epochs without a lower validation loss")
    parser.add_argument("--architecture", default=model.LITE0)
    parser.add_argument("--image_size", type=int, default=224, help="side of the model's input, in pixels")
    parser.add_argument("--train_layers", choices=("head", "all"), default="head")
    parser.add_argument("--seed", type=int, default=0)
    hyperparameters = parser.parse_args(arguments)
    for name in ("learning_rate", "batch_size", "epochs", "patience", "image_size"):
        if not getattr(hyperparameters, name) > 0:
            parser.error(f"{name} is {getattr(hyperparameters, name)} but must be above 0")
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
    network, optimizer = _trained_part(classifier, hyperparameters)
    if hyperparameters.train_layers == "head":
        # Its matrices are too small to share: threads would wait for each other, and slow parallel trials.
        torch.set_num_threads(1)
    torch.manual_seed(hyperparameters.seed + processes.rank)  # so that each process augments differently
    history, best = fit(
        network, optimizer, data, processes, epochs=hyperparameters.epochs, patience=hyperparameters.patience
    )
    processes.print(f"best:validation_loss={best.validation.loss:.6f}")
    processes.print(f"best:validation_accuracy={best.validation.accuracy:.6f}")
    if processes.is_first:
        export.save(
            classifier,
            channels.model,
            architecture=hyperparameters.architecture,
            image_size=hyperparameters.image_size,
            classes=classes,
            metrics=_metrics(best),
            hyperparameters=vars(hyperparameters),
        )
        channels.output_data.mkdir(parents=True, exist_ok=True)
        lines = [{"epoch": epoch.number, **_metrics(epoch)} for epoch in history]
        (channels.output_data / "history.json").write_text(json.dumps(lines, indent=2))
    return best


def _check_channels(hyperparameters: argparse.Namespace, channels: Channels) -> None:
    if hyperparameters.train_layers == "head" and channels.pretrained is None:
        raise ClassifierError(
            "train_layers is head but there is no pretrained channel, and a head cannot learn on what "
            "random weights see. Add the channel or set train_layers to all."
        )
    if hyperparameters.train_layers == "head" and not (channels.features or channels.training):
        raise ClassifierError("There is neither a features nor a training channel to train on.")
    if hyperparameters.train_layers == "all" and channels.training is None:
        raise ClassifierError("train_layers is all but there is no training channel with the images.")


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
        data = training_data.of_features(channels.features, *batching)
        return classifier.to(processes.device), info.classes, data

    assert channels.training is not None
    splits = read_splits(channels.training, TRAINING_SPLITS)
    classes = splits["train"].classes
    classifier, _ = _build(hyperparameters, classes, channels)
    normalisation = model.normalisation(architecture)
    eval_transform = EvalTransform(image_size, normalisation)
    if hyperparameters.train_layers == "head":
        data = training_data.of_extracted_features(splits, classifier, eval_transform, *batching)
    else:
        train_transform = TrainTransform(image_size, normalisation)
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
    classifier: model.Classifier, hyperparameters: argparse.Namespace
) -> tuple[nn.Module, Optimizer]:
    if hyperparameters.train_layers == "head":
        return classifier.head, Adam(classifier.head.parameters(), lr=hyperparameters.learning_rate)
    # Adam at these learning rates would destroy pretrained weights; SGD with momentum is made for them.
    learning_rate = hyperparameters.learning_rate
    return classifier, SGD(classifier.parameters(), lr=learning_rate, momentum=0.9, weight_decay=1e-4)


def _metrics(epoch: Epoch) -> dict[str, float]:
    """Return the epoch's metrics by name, for example validation_loss."""
    return {
        "train_loss": epoch.train.loss,
        "train_accuracy": epoch.train.accuracy,
        "validation_loss": epoch.validation.loss,
        "validation_accuracy": epoch.validation.accuracy,
    }


if __name__ == "__main__":
    run_program(main)
