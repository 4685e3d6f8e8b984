"""The sweep and the training step, measured on few generated images."""

from __future__ import annotations

import pytest

from benchmarks import sweep, train
from benchmarks.options import Options

FEW = Options(images=10, rounds=1)


def test_extrapolation_uses_the_mean() -> None:
    assert sweep.extrapolated([80.0, 100.0]) == 90.0 * 8 * 10


def test_sweep_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SETTINGS", sweep.SETTINGS[:2])
    monkeypatch.setattr(sweep, "EPOCHS", 2)
    time, validation, test = sweep.run(FEW)
    assert time.name == "sweep, 2 settings x 2 epochs, efficientnet_lite0, 30 generated images"
    assert time.peer_name == "whole network every epoch, extrapolated from 1 of 4 epochs"
    assert time.unit == "s"
    assert min(time.ours, time.peer) > 0
    for accuracy in (validation, test):
        assert accuracy.unit == "%"
        assert all(0 <= share <= 100 for share in (accuracy.ours, accuracy.peer))


def test_training_step_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "ARCHITECTURE", "shufflenet_v2_x0_5")
    [result] = train.run(FEW)
    assert result.name == "train, shufflenet_v2_x0_5, all layers, batch 32"
    assert min(result.ours, result.peer) > 0
