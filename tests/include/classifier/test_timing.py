"""The parts of an epoch's time are told apart."""

import time

import pytest
import torch
from image_classifier.history import Seconds
from image_classifier.timing import StepClock

CPU = torch.device("cpu")


def test_each_lap_counts_for_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clock = StepClock(CPU)
    now += 5
    for _ in range(2):
        clock.start()
        now += 2
        clock.lap("data")
        now += 4
        clock.lap("backward")

    seconds = clock.seconds()

    assert (seconds.data, seconds.forward, seconds.backward, seconds.other) == (4, 0, 8, 5)


def test_an_epoch_that_was_interrupted_keeps_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 100.0)

    seconds = StepClock(CPU, Seconds(10, 20, 30, 40)).seconds()

    assert (seconds.data, seconds.forward, seconds.backward, seconds.other) == (10, 20, 30, 40)
