"""The ONNX copy of a model answers as PyTorch does, for any number of images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_classifier import model, onnx_copy

from tests.include.classifier.drawing import IMAGE_SIZE


@pytest.mark.parametrize("images", [1, 5])
def test_onnx_runtime_answers_as_pytorch(images: int, tmp_path: Path) -> None:
    classifier = model.build("resnet18", 3, IMAGE_SIZE).eval()
    onnx_copy.write(classifier, IMAGE_SIZE, tmp_path / "model.onnx")
    x = np.random.default_rng(0).normal(size=(images, 3, IMAGE_SIZE, IMAGE_SIZE)).astype(np.float32)

    answer = onnx_copy.load(tmp_path / "model.onnx")(x)

    with torch.inference_mode():
        np.testing.assert_allclose(answer, classifier(torch.from_numpy(x)).numpy(), atol=1e-4)


def test_an_onnx_file_needs_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert not onnx_copy.can_run()
    assert not onnx_copy.can_write()
