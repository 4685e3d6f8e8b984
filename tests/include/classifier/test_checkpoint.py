"""A checkpoint is whole or absent, and one of another training is not gone on from."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_classifier import checkpoint, model
from image_classifier.checkpoint import Checkpoints, RandomStates
from image_classifier.distributed import Processes
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
    assert "cannot be read (SafetensorError)" in capsys.readouterr().out


def test_what_optimizer_and_scheduler_hold_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    def parts() -> dict[str, Any]:
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, amsgrad=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (3 + step))
        return {"network": network, "optimizer": optimizer, "scheduler": scheduler}

    made, restored = parts(), parts()
    for _ in range(3):
        made["network"](torch.rand(5, 3)).square().sum().backward()
        made["optimizer"].step()
        made["scheduler"].step()
    Checkpoints(tmp_path, {}, ALONE).save(made)

    Checkpoints(tmp_path, {}, ALONE).restore(restored)

    for name, part in made.items():
        assert_same(part.state_dict(), restored[name].state_dict())


def assert_same(saved: Any, restored: Any) -> None:
    """Compare two states, with the types of all that they hold."""
    if isinstance(saved, torch.Tensor):
        assert (saved.dtype, saved.shape) == (restored.dtype, restored.shape)
        assert saved.numpy().tobytes() == restored.numpy().tobytes()
    elif isinstance(saved, dict):
        assert list(saved) == list(restored)
        for key, value in saved.items():
            assert_same(value, restored[key])
    elif isinstance(saved, list | tuple):
        assert type(saved) is type(restored)
        assert len(saved) == len(restored)
        for one, other in zip(saved, restored, strict=True):
            assert_same(one, other)
    else:
        assert (type(saved), repr(saved)) == (type(restored), repr(restored))


class Kept:
    """A part with a given state."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state_dict: Any) -> None:
        self.state = state_dict


def test_every_kind_of_value_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = torch.arange(6.0).reshape(2, 3)
    state = {
        "numbers": [0.1, 5e-324, float("inf"), float("nan"), -0.0, 2**80, True, None],
        "pairs": {0: (1, (2.5, "é")), "tensor": {"items": [], "tuple": ()}},
        "half": torch.tensor([0.1, -2.0]).bfloat16().view(torch.int16),
        "columns": rows.t(),
        "twice": [rows, rows[1], rows],
        "none": torch.empty(0, 3),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
    }
    Checkpoints(tmp_path, {}, ALONE).save({"part": Kept(state)})

    restored = Kept(None)
    Checkpoints(tmp_path, {}, ALONE).restore({"part": restored})

    assert_same(state, restored.state)


def test_the_versions_of_layers_are_kept(tmp_path: Path) -> None:
    # MNASNet refuses a state without its version.
    network = model.backbone_of("mnasnet0_5", 64)
    best = Kept(network.state_dict())
    Checkpoints(tmp_path, {}, ALONE).save({"network": network, "best": best})

    restored = Kept(None)
    Checkpoints(tmp_path, {}, ALONE).restore({"network": network, "best": restored})

    network.load_state_dict(restored.state)


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
