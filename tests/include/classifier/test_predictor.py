"""A saved model answers the same by ONNX Runtime and by PyTorch."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from image_classifier.data import EvalTransform, ImageDataset, read_split
from image_classifier.errors import ClassifierError
from image_classifier.model import HALF
from image_classifier.predictor import Predictor
from PIL import Image

from tests.include.classifier.drawing import IMAGE_SIZE, draw, encode
from tests.include.classifier.training import Trained


@pytest.fixture
def without_onnx(trained: Trained, tmp_path: Path) -> Path:
    return shutil.copytree(trained.model, tmp_path / "model", ignore=shutil.ignore_patterns("model.onnx"))


def test_onnx_runtime_and_pytorch_agree(trained: Trained, without_onnx: Path, photo: bytes) -> None:
    by_onnx, by_torch = Predictor(trained.model), Predictor(without_onnx)
    prepared = [by_onnx.prepare(photo)]

    assert (by_onnx.runtime, by_torch.runtime) == ("onnxruntime", "torch")
    np.testing.assert_allclose(by_onnx.probabilities(prepared), by_torch.probabilities(prepared), atol=1e-4)


def test_pytorch_computes_where_the_environment_says_so(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_RUNTIME", "torch")
    assert Predictor(trained.model).runtime == "torch"


def test_onnx_runtime_computes_where_the_environment_says_so_also_beside_a_gpu(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_classifier.gpu.is_present", lambda: True)
    monkeypatch.setenv("MODEL_RUNTIME", "onnxruntime")
    assert Predictor(trained.model).runtime == "onnxruntime"


def test_pytorch_does_not_stand_in_for_onnx_runtime(
    without_onnx: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_RUNTIME", "onnxruntime")
    with pytest.raises(ClassifierError, match=r"but model\.onnx does not exist.*Train it where they are\."):
        Predictor(without_onnx)
    monkeypatch.setattr("image_classifier.onnx_copy.can_run", lambda: False)
    with pytest.raises(ClassifierError, match=r"MODEL_RUNTIME is onnxruntime, which is not installed"):
        Predictor(trained.model)


def test_serving_sees_what_features_and_evaluation_see(trained: Trained, dataset: Path) -> None:
    split = read_split(dataset / "valid")
    model = Predictor(trained.model)

    for path, (view, _) in zip(
        split.paths, ImageDataset(split, EvalTransform(IMAGE_SIZE, HALF)), strict=False
    ):
        assert np.array_equal(model.prepare(path.read_bytes()), view)


def test_an_image_is_seen_upright(trained: Trained) -> None:
    model, exif = Predictor(trained.model), Image.Exif()
    upright = draw((90, 120, 200), size=(60, 90))
    exif[0x0112] = 6

    turned = encode(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert np.array_equal(model.prepare(turned), model.prepare(encode(upright, "PNG")))


def test_probabilities_add_up_to_one(trained: Trained, photo: bytes) -> None:
    model = Predictor(trained.model)

    probabilities = model.probabilities([model.prepare(photo)] * 3)

    assert probabilities.shape == (3, 3)
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_pytorch_answers_where_onnx_runtime_is_not_installed(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_classifier.onnx_copy.can_run", lambda: False)

    assert Predictor(trained.model).runtime == "torch"
