"""The training job trains on the channels it is given, reproducibly, and tells what is wrong with them."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_classifier import feature_set, tensors
from image_classifier.errors import ClassifierError
from image_classifier.train import Channels, parse_hyperparameters

from tests.include.classifier.conftest import CLASSIFIER
from tests.include.classifier.training import RunTraining, Trained


def test_a_head_learns_on_features(trained: Trained) -> None:
    assert trained.best.validation.accuracy > 0.9


def history(job: Trained) -> list[dict[str, float]]:
    return json.loads((job.output_data / "history.json").read_text())


def test_the_history_has_every_epoch(trained: Trained) -> None:
    lines = history(trained)

    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert trained.best.validation.loss == min(line["validation_loss"] for line in lines)


def test_the_same_seed_gives_the_same_result(
    run_training: RunTraining, trained: Trained, features: Path, lite0_weights: Path
) -> None:
    again = run_training(features=features, pretrained=lite0_weights)

    assert again.best == trained.best


def test_the_objective_of_the_model_is_printed_last(
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

    job = run_training(training=dataset, epochs=2, **settings)

    assert job.best.train.accuracy > 0.5


def test_all_layers_are_trained_from_pretrained_weights(
    run_training: RunTraining, dataset: Path, lite0_weights: Path
) -> None:
    job = run_training(training=dataset, pretrained=lite0_weights, train_layers="all", epochs=1)

    before = torch.load(lite0_weights / "efficientnet_lite0.pth", weights_only=True)["_conv_stem.weight"]
    after = tensors.read_state(job.model / "model.safetensors")["backbone._conv_stem.weight"]
    assert 0 < (after - before).abs().max() < 0.1  # trained, and not from scratch


def test_the_last_block_is_trained_and_those_before_it_are_kept(
    run_training: RunTraining, dataset: Path, lite0_weights: Path
) -> None:
    settings = {"train_layers": "last_1", "epochs": 1, "mixup": 0.2, "cutmix": 1.0}
    job = run_training(training=dataset, pretrained=lite0_weights, **settings)

    before = torch.load(lite0_weights / "efficientnet_lite0.pth", weights_only=True)
    after = tensors.read_state(job.model / "model.safetensors")
    changed = {
        name for name, value in before.items() if not torch.equal(value, after.get(f"backbone.{name}", value))
    }
    assert "_conv_head.weight" in changed
    assert all(name.startswith(("_conv_head.", "_bn1.")) for name in changed)


def test_a_head_learns_on_augmented_views(
    run_training: RunTraining, dataset: Path, features: Path, lite0_weights: Path, tmp_path: Path
) -> None:
    with_views = shutil.copytree(features, tmp_path / "features")
    info = replace(feature_set.read_info(features), augmented_views=1)
    info.write(with_views)
    x, y = feature_set.read_split(features, "train")
    feature_set.write_split(with_views, "train", np.zeros_like(x), y.tolist(), view=1)

    job = run_training(features=with_views, pretrained=lite0_weights, epochs=2)

    losses = [line["train_loss"] for line in history(job)]
    assert losses[1] > math.log(3) > losses[0]  # the second epoch's view shows nothing


def test_all_findings_of_the_diagnosis_are_written(trained: Trained) -> None:
    assert json.loads((trained.output_data / "diagnosis.json").read_text()) == []


INTERRUPTED: dict[str, object] = {
    "architecture": "shufflenet_v2_x0_5",
    "train_layers": "all",
    "mixup": 0.2,
    "image_size": 32,
    "batch_size": 13,
    "epochs": 8,
    "patience": 8,
    "checkpoint_minutes": 0.0001,  # so that one is due after each step
}


@pytest.fixture(scope="module")
def uninterrupted(run_training: RunTraining, dataset: Path) -> Trained:
    """What the job comes to that others interrupt."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the job has: sums in other parts differ in their last bits
    trained = run_training(training=dataset, **INTERRUPTED)
    torch.set_num_threads(threads)
    return trained


def test_a_job_that_is_ended_and_started_again_ends_with_the_same_metrics(
    uninterrupted: Trained, dataset: Path, tmp_path: Path
) -> None:
    """So do two jobs with the same seed, whose images are augmented in the same way."""
    folders = {
        "SM_CHANNEL_TRAINING": dataset,
        "SM_MODEL_DIR": tmp_path,
        "SM_OUTPUT_DATA_DIR": tmp_path / "output",
    }
    environment = {name: str(path) for name, path in {**folders, "SAGEMAKER_BASE_DIR": tmp_path}.items()}
    environment = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    hyperparameters = [f"--{name}={value}" for name, value in INTERRUPTED.items()]
    command = [sys.executable, str(CLASSIFIER / "train.py"), *hyperparameters]
    (tmp_path / "checkpoints").mkdir()

    # SIGKILL as in SageMaker, then SIGTERM as on EC2.
    for number, status, begins in (
        (signal.SIGKILL, -9, "epoch=1 validation:loss"),
        (signal.SIGTERM, 143, "Going on in epoch"),
    ):
        job = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert job.stdout is not None
        while begins not in job.stdout.readline():
            assert job.poll() is None
        while "Saved the state in epoch" not in (line := job.stdout.readline()):
            assert line, "it has ended"
        job.send_signal(number)
        said, _ = job.communicate()
        assert (job.returncode, "Told to end by SIGTERM" in said) == (status, number == signal.SIGTERM)
        assert not (tmp_path / "model.json").exists()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert "Going on in epoch" in again.stdout
    assert json.loads((tmp_path / "model.json").read_text())["metrics"] == uninterrupted.best.metrics


def test_the_test_split_is_not_touched(run_training: RunTraining, dataset: Path, tmp_path: Path) -> None:
    without_test = shutil.copytree(dataset, tmp_path / "data", ignore=shutil.ignore_patterns("test"))

    settings = {"architecture": "shufflenet_v2_x0_5", "train_layers": "all", "image_size": 32}
    run_training(training=without_test, epochs=1, **settings)


@pytest.mark.parametrize(
    ("channels", "settings", "message"),
    [
        (["training"], {}, "no pretrained channel"),
        (["pretrained"], {}, "neither a features nor a training channel"),
        (["features", "pretrained"], {"train_layers": "all"}, "no training channel"),
        (["features", "pretrained"], {"train_layers": "last_1"}, "no training channel"),
        (["training"], {"train_layers": "last_1"}, "no pretrained channel"),
        (["training", "pretrained"], {"train_layers": "last_19"}, "the backbone has 18 blocks"),
        (["features", "pretrained"], {"int8_max_accuracy_drop": 0.01}, "there is no training channel"),
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
        (["--learning_rate", "inf"], "learning_rate is inf but must be a finite number"),
        (["--batch_size", "0"], "batch_size is 0"),
        (["--epochs", "1001"], "epochs is 1001 but must be 1000 or less"),
        (["--train_layers", "some"], "none of head, all and last_<n>"),
        (["--train_layers", "last_0"], "none of head, all and last_<n>"),
        (["--warmup_epochs", "-1"], "warmup_epochs is -1.0"),
        (["--label_smoothing", "1"], "label_smoothing is 1.0"),
        (["--amp", "yes"], "neither true nor false"),
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
