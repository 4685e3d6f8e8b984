"""The loop measures per sample, keeps the best epoch, stops early, and refuses a loss that is not finite."""

import math
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from image_classifier.checkpoint import SECONDS_BETWEEN, Checkpoints
from image_classifier.diagnosis import Diagnosis
from image_classifier.distributed import Processes
from image_classifier.errors import ClassifierError
from image_classifier.progress import Progress
from image_classifier.recipe import for_fine_tuning, for_head
from image_classifier.training_data import TrainingData
from image_classifier.training_loop import fit
from torch import Tensor, nn
from torch.nn import functional

ALONE = Processes(0, 1, torch.device("cpu"))


def points(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two classes of points on a line."""
    labels = torch.arange(samples) % 2
    noise = torch.randn(samples, 1, generator=torch.Generator().manual_seed(seed))
    return (labels * 4.0 - 2.0)[:, None] + noise, labels


def in_batches(x: Tensor, y: Tensor, size: int) -> TrainingData:
    batches = list(zip(x.split(size), y.split(size), strict=True))
    return TrainingData(
        lambda epoch, start: batches[start:],
        lambda epoch: batches,
        steps=len(batches),
        validation_steps=len(batches),
    )


def run(
    data: TrainingData, *, learning_rate: float = 0.02, epochs: int = 5, patience: int = 3
) -> tuple[nn.Module, Progress, Diagnosis]:
    torch.manual_seed(0)
    network = nn.Linear(1, 2)
    recipe = for_head(network, learning_rate, epochs * data.steps)
    return network, *fit(network, recipe, data, ALONE, epochs=epochs, patience=patience)


def test_the_loss_falls() -> None:
    _, progress, _ = run(in_batches(*points(40), 8), learning_rate=0.1)

    history, best = progress.history, progress.best
    assert len(history) == 5
    assert best.validation.loss < history[0].validation.loss
    assert best.validation.accuracy > 0.9


def test_validation_is_measured_per_sample_whatever_the_batches() -> None:
    x, y = points(10)
    losses = []
    for size in (3, 4, 10):  # in batches of 3 the last has a single sample
        _, progress, _ = run(in_batches(x, y, size), learning_rate=1e-12, epochs=1)
        losses.append(progress.history[0].validation.loss)

    assert losses == pytest.approx([losses[-1]] * 3, rel=1e-6)


def test_the_training_loss_is_measured_per_sample_whatever_the_batches() -> None:
    x, y = points(10)
    losses = []
    for size in (3, 10):
        _, progress, _ = run(in_batches(x, y, size), learning_rate=1e-12, epochs=1)
        losses.append(progress.history[0].train.loss)

    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def validating_worse_from(epoch_of_change: int) -> TrainingData:
    """Data whose validation labels are turned round from an epoch on."""
    x, y = points(40)
    return TrainingData(
        lambda epoch, start: [(x, y)][start:],
        lambda epoch: [(x, y if epoch < epoch_of_change else 1 - y)],
        steps=1,
        validation_steps=1,
    )


def test_training_stops_when_the_validation_loss_no_longer_falls(capsys: pytest.CaptureFixture[str]) -> None:
    _, progress, _ = run(validating_worse_from(4), epochs=20, patience=3)

    assert (len(progress.history), progress.best.number) == (6, 3)
    assert "Stopped after epoch 6" in capsys.readouterr().out


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    network, progress, _ = run(validating_worse_from(4), epochs=20)
    x, y = points(40)

    assert functional.cross_entropy(network(x), y).item() == pytest.approx(
        progress.best.validation.loss, rel=1e-6
    )


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    x, y = points(8)

    with pytest.raises(ClassifierError, match=r"training loss became .* in epoch 1: the training diverged"):
        run(in_batches(x * math.inf, y, 8))


def test_every_metric_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _, progress, _ = run(in_batches(*points(8), 8), epochs=1)

    history = progress.history
    assert capsys.readouterr().out.splitlines()[:4] == [
        f"epoch=1 train:loss={history[0].train.loss:.6f}",
        f"epoch=1 train:accuracy={history[0].train.accuracy:.6f}",
        f"epoch=1 validation:loss={history[0].validation.loss:.6f}",
        f"epoch=1 validation:accuracy={history[0].validation.accuracy:.6f}",
    ]


def test_the_best_epoch_so_far_is_printed_after_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    _, progress, _ = run(validating_worse_from(4), epochs=6, patience=6)

    losses = [epoch.validation.loss for epoch in progress.history]
    printed = re.findall(r"epoch=\d best:validation_loss=(\S+)", capsys.readouterr().out)
    assert printed == [f"{min(losses[: number + 1]):.6f}" for number in range(6)]
    assert losses[-1] > min(losses)


def test_the_findings_are_those_of_the_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, diagnosis = run(validating_worse_from(4), epochs=6, patience=6)

    assert [finding["check"] for finding in diagnosis.findings] == ["overfitting"]
    assert f"warning: {diagnosis.findings[0]['message']}" in capsys.readouterr().out


def test_an_epoch_says_where_its_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each look at the clock takes a second, and the batch takes a hundred.
    now = 0.0

    def look() -> float:
        nonlocal now
        now += 1
        return now

    def slow_batches(epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal now
        now += 100
        yield points(8)

    monkeypatch.setattr(time, "perf_counter", look)
    _, progress, _ = run(TrainingData(slow_batches, lambda epoch: [points(8)], 1, 1), epochs=1)

    seconds = progress.history[0].seconds
    assert (seconds.data, seconds.forward, seconds.backward) == (101, 1, 1)
    assert 0 < seconds.other < 100
    assert seconds.total == seconds.data + seconds.forward + seconds.backward + seconds.other


class Lost(Exception):
    """The machine is gone without a word."""


@dataclass(frozen=True)
class Ending:
    """What ends a training, and when: before a step (from 0) of the second epoch, or in its validation."""

    step: int | None
    signal: bool = True

    def strike(self) -> None:
        if not self.signal:
            raise Lost
        os.kill(os.getpid(), signal.SIGTERM)


def four_images_a_step(ending: Ending | None) -> TrainingData:
    """Batches of images, with what ends the training while they are read."""
    images = torch.rand(16, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    batches = list(zip(images.split(4), (torch.arange(16) % 3).split(4), strict=True))

    def train(epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for step, batch in enumerate(batches[start:], start):
            if ending and (epoch, step) == (2, ending.step):
                ending.strike()
            yield batch

    def validation(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(batches):
            if ending and (epoch, ending.step, number) == (2, None, 1):
                ending.strike()
            yield batch

    return TrainingData(train, validation, steps=4, validation_steps=4)


def train_with_chance(
    folder: Path | None, ending: Ending | None = None, seconds_between: float = SECONDS_BETWEEN
) -> tuple[nn.Module, Progress]:
    """Train with dropout, mixed images and batch normalization, which all keep a state of their own."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(128, 3)
    )
    recipe = for_fine_tuning(
        network, ALONE.device, learning_rate=0.1, steps=12, warmup_steps=4, mixup=0.5, cutmix=1.0, classes=3
    )
    checkpoints = Checkpoints(folder, {}, ALONE, seconds_between) if folder else None
    data = four_images_a_step(ending)
    return network, fit(network, recipe, data, ALONE, epochs=3, patience=3, checkpoints=checkpoints)[0]


@pytest.mark.parametrize(
    "seconds_between", [0.0, SECONDS_BETWEEN], ids=["each step saved", "each epoch saved"]
)
@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(Ending(0), id="SIGTERM in the first step of an epoch"),
        pytest.param(Ending(2), id="SIGTERM in the middle of an epoch"),
        pytest.param(Ending(3), id="SIGTERM in the last step of an epoch"),
        pytest.param(Ending(None), id="SIGTERM during validation"),
        pytest.param(Ending(2, signal=False), id="lost in the middle of an epoch"),
    ],
)
def test_a_training_that_is_ended_and_goes_on_gives_the_same_bits(
    ending: Ending, seconds_between: float, tmp_path: Path
) -> None:
    reference, uninterrupted = train_with_chance(None)

    with pytest.raises((SystemExit, Lost)):
        train_with_chance(tmp_path, ending, seconds_between)
    network, resumed = train_with_chance(tmp_path)

    assert resumed.history == uninterrupted.history
    assert resumed.best == uninterrupted.best
    for name, weights in network.state_dict().items():
        assert torch.equal(weights, reference.state_dict()[name]), name


def test_what_is_lost_without_a_word_is_only_what_came_after_the_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Lost):
        train_with_chance(tmp_path, Ending(2, signal=False), seconds_between=0)

    assert "Saved the state in epoch 2 after 2 of 4 steps, in 0." in capsys.readouterr().out
    train_with_chance(tmp_path)
    assert "Going on in epoch 2 after 2 of 4 steps." in capsys.readouterr().out


def test_a_checkpoint_is_due_when_the_last_one_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path, {}, ALONE, 300)
    now = 299.0
    assert not checkpoints.is_due
    now = 300.0
    assert checkpoints.is_due
    checkpoints.save({})
    assert not checkpoints.is_due
    now = 600.0
    assert checkpoints.is_due


def test_sigterm_saves_the_step_it_came_in_and_ends_with_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        train_with_chance(tmp_path, Ending(2))

    assert ended.value.code == 143
    assert f"epoch 2 after 3 steps: the state is saved in {tmp_path}." in capsys.readouterr().out
    train_with_chance(tmp_path)
    assert "Going on in epoch 2 after 3 of 4 steps." in capsys.readouterr().out


def test_sigterm_without_a_folder_for_checkpoints_says_that_nothing_is_saved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        train_with_chance(None, Ending(2))

    assert "the job has no folder for checkpoints, so nothing is saved." in capsys.readouterr().out


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    network, first = train_with_chance(tmp_path)

    again, second = train_with_chance(tmp_path, Ending(0))  # which would end it

    assert second.history == first.history
    assert torch.equal(again[0].weight, network[0].weight)
