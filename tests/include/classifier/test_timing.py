"""The parts of an epoch's time are told apart."""

import time

import pytest
import torch
from history import Seconds
from timing import StepClock

CPU = torch.device("cpu")


def test_each_lap_counts_for_its_part() -> None:
    clock = StepClock(CPU)
    time.sleep(0.05)
    for _ in range(2):
        clock.start()
        time.sleep(0.02)
        clock.lap("data")
        time.sleep(0.04)
        clock.lap("backward")

    seconds = clock.seconds()

    assert seconds.forward == 0
    assert seconds.data >= 0.04
    assert seconds.backward >= 0.08
    assert seconds.other >= 0.05
    assert seconds.backward > seconds.data


def test_an_epoch_that_was_interrupted_keeps_its_time() -> None:
    seconds = StepClock(CPU, Seconds(10, 20, 30, 40)).seconds()

    assert (seconds.data, seconds.forward, seconds.backward) == (10, 20, 30)
    assert seconds.other == pytest.approx(40, abs=0.5)
