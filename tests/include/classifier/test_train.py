"""The training job trains on the channels it is given, reproducibly, and tells what is wrong with them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from errors import ClassifierError
from train import Channels, parse_hyperparameters

from tests.include.classifier.training import RunTraining, Trained


def test_a_head_learns_on_features(trained: Trained) -> None:
    assert trained.best.validation.accuracy > 0.9


def test_the_history_has_every_epoch(trained: Trained) -> None:
    history = json.loads((trained.output_data / "history.json").read_text())

    assert [line["epoch"] for line in history] == list(range(1, len(history) + 1))
    assert trained.best.validation.loss == min(line["validation_loss"] for line in history)


def test_the_same_seed_gives_the_same_result(
    run_training: RunTraining, trained: Trained, features: Path, lite0_weights: Path
) -> None:
    again = run_training(features=features, pretrained=lite0_weights)

    assert again.best == trained.best


def test_the_objective_is_printed_once(
    run_training: RunTraining, features: Path, lite0_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = run_training(features=features, pretrained=lite0_weights, epochs=1).best

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best:")]
    assert lines == [
        f"best:validation_loss={best.validation.loss:.6f}",
        f"best:validation_accuracy={best.validation.accuracy:.6f}",
    ]


def test_features_made_on_the_fly_give_the_same_result(
    run_training: RunTraining, trained: Trained, dataset: Path, lite0_weights: Path
) -> None:
    on_the_fly = run_training(training=dataset, pretrained=lite0_weights)

    assert on_the_fly.best.validation.loss == pytest.approx(trained.best.validation.loss, abs=1e-3)


def test_all_layers_are_trained_on_images_without_pretrained_weights(
    run_training: RunTraining, dataset: Path
) -> None:
    settings = {"architecture": "resnet18", "train_layers": "all", "image_size": 32, "batch_size": 13}

    first, second = (run_training(training=dataset, epochs=2, **settings) for _ in range(2))

    assert first.best.train.accuracy > 0.5
    assert first.best == second.best  # augmentation included


def test_all_layers_are_trained_from_pretrained_weights(
    run_training: RunTraining, dataset: Path, lite0_weights: Path
) -> None:
    job = run_training(training=dataset, pretrained=lite0_weights, train_layers="all", epochs=1)

    before = torch.load(lite0_weights / "efficientnet_lite0.pth", weights_only=True)["_conv_stem.weight"]
    after = torch.load(job.model / "model.pt", weights_only=True)["backbone._conv_stem.weight"]
    assert 0 < (after - before).abs().max() < 0.1  # trained, and not from scratch


def test_the_test_split_is_not_touched(run_training: RunTraining, dataset: Path, tmp_path: Path) -> None:
    without_test = shutil.copytree(dataset, tmp_path / "data", ignore=shutil.ignore_patterns("test"))

    run_training(training=without_test, architecture="resnet18", train_layers="all", epochs=1)


@pytest.mark.parametrize(
    ("channels", "settings", "message"),
    [
        (["training"], {}, "no pretrained channel"),
        (["pretrained"], {}, "neither a features nor a training channel"),
        (["features", "pretrained"], {"train_layers": "all"}, "no training channel"),
        (["features", "pretrained"], {"image_size": 96}, "at 64 pixels, but"),
        (["features", "pretrained"], {"architecture": "resnet18"}, "made by efficientnet_lite0"),
    ],
)
def test_channels_that_do_not_go_together_are_told(
    channels: list[str],
    settings: dict[str, object],
    message: str,
    run_training: RunTraining,
    request: pytest.FixtureRequest,
) -> None:
    fixtures = {"training": "dataset", "features": "features", "pretrained": "lite0_weights"}
    given = {name: request.getfixturevalue(fixtures[name]) for name in channels}

    with pytest.raises(ClassifierError, match=message):
        run_training(**given, **settings)


def test_features_of_other_weights_are_told(
    run_training: RunTraining, features: Path, lite0_weights: Path, tmp_path: Path
) -> None:
    others = shutil.copytree(features, tmp_path / "features")
    description = json.loads((others / "features.json").read_text())
    (others / "features.json").write_text(json.dumps({**description, "pretrained_sha256": "0" * 64}))

    with pytest.raises(ClassifierError, match="made with other pretrained weights"):
        run_training(features=others, pretrained=lite0_weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning_rate", "high"], "invalid float value"),
        (["--learning_rate", "nan"], "learning_rate is nan"),
        (["--batch_size", "0"], "batch_size is 0"),
        (["--train_layers", "some"], "invalid choice"),
        (["--momentum", "1"], "unrecognized arguments"),
    ],
)
def test_a_hyperparameter_that_is_not_usable_is_told(arguments: list[str], message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        parse_hyperparameters(arguments)


def test_the_channels_are_those_of_sagemaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SM_CHANNEL_FEATURES", raising=False)
    monkeypatch.setenv("SM_CHANNEL_TRAINING", "/data")
    monkeypatch.setenv("SM_MODEL_DIR", "/model")

    channels = Channels.from_environment()

    assert (channels.training, channels.features, channels.model) == (Path("/data"), None, Path("/model"))
