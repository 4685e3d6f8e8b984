"""A checkpoint is whole or absent, and one of another training is not gone on from."""

import random
from pathlib import Path
from typing import Any

import checkpoint
import numpy as np
import pytest
import torch
from checkpoint import Checkpoints, RandomStates
from distributed import Processes
from torch import nn

ALONE = Processes(0, 1, torch.device("cpu"))


def restored(folder: Path, **settings: object) -> nn.Linear | None:
    network = nn.Linear(2, 2)
    return network if Checkpoints(folder, settings, ALONE).restore({"network": network}) else None


@pytest.fixture
def saved(tmp_path: Path) -> nn.Linear:
    network = nn.Linear(2, 2)
    Checkpoints(tmp_path, {"learning_rate": 0.1, "classes": ["a", "b"]}, ALONE).save({"network": network})
    return network


def test_the_state_is_restored(saved: nn.Linear, tmp_path: Path) -> None:
    network = restored(tmp_path, learning_rate=0.1, classes=["a", "b"])

    assert network is not None
    assert torch.equal(network.weight, saved.weight)


def test_a_first_attempt_has_nothing_to_restore(tmp_path: Path) -> None:
    assert restored(tmp_path) is None


@pytest.mark.usefixtures("saved")
def test_a_checkpoint_of_other_settings_is_left_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restored(tmp_path, learning_rate=0.2, classes=["a", "b"], seed=1) is None
    assert "is of another training: it has other values of learning_rate, seed." in capsys.readouterr().out


@pytest.mark.usefixtures("saved")
def test_a_damaged_checkpoint_is_left_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:-100])

    assert restored(tmp_path, learning_rate=0.1, classes=["a", "b"]) is None
    assert "cannot be read" in capsys.readouterr().out


def test_a_checkpoint_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"settings": {}, "states": {"network": nn.Linear(2, 2)}}, tmp_path / checkpoint.FILE)

    assert restored(tmp_path) is None
    assert "cannot be read (UnpicklingError)" in capsys.readouterr().out


class Unsavable:
    """A part whose state cannot be written."""

    def state_dict(self) -> Any:
        return {"state": (number for number in range(3))}

    def load_state_dict(self, state_dict: Any) -> None:
        raise AssertionError


def test_a_save_that_fails_leaves_the_last_checkpoint(saved: nn.Linear, tmp_path: Path) -> None:
    settings = {"learning_rate": 0.1, "classes": ["a", "b"]}
    with pytest.raises(TypeError):
        Checkpoints(tmp_path, settings, ALONE).save({"network": nn.Linear(2, 2), "other": Unsavable()})

    network = restored(tmp_path, **settings)
    assert network is not None
    assert torch.equal(network.weight, saved.weight)


def test_all_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), np.random.rand(), random.random()

    parts = {"random": RandomStates(ALONE)}
    Checkpoints(tmp_path, {}, ALONE).save(parts)
    drawn = draw()

    Checkpoints(tmp_path, {}, ALONE).restore(parts)

    assert draw() == drawn


def test_a_job_without_the_folder_has_no_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert checkpoint.find({}, ALONE) is None

    (tmp_path / "checkpoints").mkdir()

    found = checkpoint.find({}, ALONE)
    assert found is not None
    assert found.folder == tmp_path / "checkpoints"
