"""A saved model is complete, and can be read by the PyTorch of AWS's inference container."""

import json
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path

import export
import model
import onnx_model
import pytest
import torch

from tests.include.classifier.drawing import CLASSES, IMAGE_SIZE
from tests.include.classifier.training import Trained

# What a state_dict of plain tensors is made of, in every PyTorch since 1.6.
GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "torch LongStorage",
}


def save(folder: Path) -> Path:
    export.save(
        model.build("resnet18", 3, IMAGE_SIZE),
        folder,
        architecture="resnet18",
        image_size=IMAGE_SIZE,
        classes=list(CLASSES),
        metrics={"validation_loss": 0.5},
        hyperparameters={"seed": 1},
    )
    return folder


def test_a_saved_model_is_complete(trained: Trained) -> None:
    assert {path.name for path in trained.model.iterdir()} == {
        "model.pt",
        "model.onnx",
        "model.json",
        "classes.json",
        "code",
    }
    assert json.loads((trained.model / "classes.json").read_text()) == list(CLASSES)


def test_the_description_says_how_to_prepare_images(trained: Trained) -> None:
    description = json.loads((trained.model / "model.json").read_text())

    assert description["architecture"] == "efficientnet_lite0"
    assert description["image_size"] == IMAGE_SIZE
    assert description["normalisation"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert description["metrics"]["validation_loss"] == trained.best.validation.loss
    assert description["hyperparameters"]["batch_size"] == 8


def test_the_weights_are_of_plain_tensors(trained: Trained) -> None:
    with zipfile.ZipFile(trained.model / "model.pt") as archive:
        pickled = next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))

    used = {argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}
    assert used <= GLOBALS


def test_the_weights_are_those_of_backbone_and_head(trained: Trained) -> None:
    weights = torch.load(trained.model / "model.pt", weights_only=True)

    assert weights["head.2.weight"].shape == (3, 128)
    assert any(name.startswith("backbone.") for name in weights)


def test_the_saved_code_runs_without_the_repository(trained: Trained, tmp_path: Path) -> None:
    folder = trained.model / "code"
    code = f"import sys; sys.path[0] = {str(folder)!r}; import inference; print(inference.__file__)"

    output = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert output.stdout.strip() == str(trained.model / "code" / "inference.py")


def test_the_package_of_lite0_is_saved_only_with_lite0(trained: Trained, tmp_path: Path) -> None:
    save(tmp_path)

    assert (trained.model / "code" / "efficientnet_lite_pytorch" / "model.py").is_file()
    assert not (tmp_path / "code" / "efficientnet_lite_pytorch").exists()


def test_without_onnx_the_model_is_saved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "can_write", lambda: False)

    save(tmp_path)

    assert (tmp_path / "model.pt").is_file()
    assert not (tmp_path / "model.onnx").exists()


def test_an_onnx_copy_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        onnx_model, "load", lambda path: lambda images: torch.ones(len(images), 3).numpy() * 9
    )

    save(tmp_path)

    assert not (tmp_path / "model.onnx").exists()
    assert "differs from PyTorch" in capsys.readouterr().out
