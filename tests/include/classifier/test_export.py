"""A saved model is complete, and can be read by the PyTorch of AWS's Ray Serve image."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from image_classifier import export, model, onnx_copy, tensors
from image_classifier.errors import ClassifierError
from image_classifier.predictor import Predictor

from tests.include.classifier.drawing import CLASSES, IMAGE_SIZE, write_images
from tests.include.classifier.training import Trained

# What ONNX Runtime 1.22 (May 2025) reads, which is older than those of the training image and of `.venv`.
MAX_IR_VERSION = 10
MAX_OPSET = 22


def save(folder: Path, int8: export.Int8Options | None = None) -> Path:
    export.save(
        model.build("resnet18", 3, IMAGE_SIZE),
        folder,
        architecture="resnet18",
        image_size=IMAGE_SIZE,
        classes=list(CLASSES),
        metrics={"validation_loss": 0.5},
        hyperparameters={"seed": 1},
        int8=int8,
    )
    return folder


@pytest.fixture(scope="module")
def quantized(trained: Trained, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model, saved anew with an 8-bit copy."""
    classifier = model.build("efficientnet_lite0", len(CLASSES), IMAGE_SIZE)
    classifier.load_state_dict(tensors.read_state(trained.model / "model.safetensors"))
    folder = tmp_path_factory.mktemp("quantized")
    export.save(
        classifier,
        folder,
        architecture="efficientnet_lite0",
        image_size=IMAGE_SIZE,
        classes=list(CLASSES),
        metrics={},
        hyperparameters={},
        int8=export.Int8Options(max_accuracy_drop=0.1, images=dataset),
    )
    return folder


def test_a_saved_model_is_complete(trained: Trained) -> None:
    assert {path.name for path in trained.model.iterdir()} == {
        "model.safetensors",
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
    assert description["normalization"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert description["metrics"]["validation_loss"] == trained.best.validation.loss
    assert description["hyperparameters"]["batch_size"] == 8
    assert description["serve"] == "fp32"


def test_nothing_in_a_saved_model_is_a_pickle(trained: Trained) -> None:
    files = [path for path in trained.model.iterdir() if path.is_file()]

    assert {path.suffix for path in files} == {".json", ".onnx", ".safetensors"}
    assert not any(zipfile.is_zipfile(path) for path in files)  # as torch.save's files are


def test_an_older_onnx_runtime_can_read_the_copies(quantized: Path) -> None:
    for name in ("model.onnx", "model.int8.onnx"):
        file = onnx.load(quantized / name)

        assert file.ir_version <= MAX_IR_VERSION
        assert next(opset.version for opset in file.opset_import if not opset.domain) <= MAX_OPSET
        assert {node.domain for node in file.graph.node} == {""}  # no operators of one runtime's own


def test_the_weights_are_those_of_backbone_and_head(trained: Trained) -> None:
    weights = tensors.read_state(trained.model / "model.safetensors")

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
    monkeypatch.setattr(onnx_copy, "can_write", lambda: False)

    save(tmp_path)

    assert (tmp_path / "model.safetensors").is_file()
    assert not (tmp_path / "model.onnx").exists()


def test_an_onnx_copy_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_copy, "load", lambda path: lambda images: torch.ones(len(images), 3).numpy() * 9)

    save(tmp_path)

    assert not (tmp_path / "model.onnx").exists()
    assert "differs from PyTorch" in capsys.readouterr().out


def test_an_accurate_eight_bit_copy_is_served(quantized: Path) -> None:
    description = json.loads((quantized / "model.json").read_text())

    assert description["serve"] == "int8"
    assert description["validation_accuracy"]["int8"] >= description["validation_accuracy"]["fp32"] - 0.1
    assert (quantized / "model.onnx").is_file()
    assert Predictor(quantized).precision == "int8"


def test_the_eight_bit_copy_answers_nearly_as_the_other(
    quantized: Path, trained: Trained, photo: bytes
) -> None:
    int8, fp32 = Predictor(quantized), Predictor(trained.model)

    answers = [model.probabilities([model.prepare(photo)]) for model in (int8, fp32)]
    assert not np.array_equal(*answers)
    np.testing.assert_allclose(*answers, atol=0.15)


def test_an_eight_bit_copy_that_loses_too_much_is_not_kept(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out_of_reach = export.Int8Options(max_accuracy_drop=-1.1, images=dataset)  # better by more than all

    save(tmp_path, out_of_reach)

    description = json.loads((tmp_path / "model.json").read_text())
    assert description["serve"] == "fp32"
    assert set(description["validation_accuracy"]) == {"fp32", "int8"}
    assert not (tmp_path / "model.int8.onnx").exists()
    assert (
        "The model is served in fp32: on 15 validation images int8 has an accuracy" in capsys.readouterr().out
    )


def test_without_onnx_there_is_no_eight_bit_copy(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_copy, "can_write", lambda: False)

    save(tmp_path, export.Int8Options(max_accuracy_drop=0.1, images=dataset))

    assert json.loads((tmp_path / "model.json").read_text())["serve"] == "fp32"
    assert "The model is served in fp32: int8 needs model.onnx" in capsys.readouterr().out


def test_images_of_other_classes_are_no_measure(tmp_path: Path) -> None:
    images = write_images(tmp_path / "other", {"train": 1, "valid": 1}, {"a": (9, 9, 9), "b": (99, 99, 99)})

    with pytest.raises(ClassifierError, match="show other classes"):
        save(tmp_path / "model", export.Int8Options(max_accuracy_drop=0.1, images=images))
