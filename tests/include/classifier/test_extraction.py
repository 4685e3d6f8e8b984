"""A frozen backbone gives the same features by every runtime, in the order of the images."""

from pathlib import Path

import numpy as np
import pytest
from image_classifier import model, onnx_copy
from image_classifier.data import EvalTransform, ImageDataset, Split, read_split
from image_classifier.extraction import FeatureExtractor, fastest_runtime
from image_classifier.images import ImageError

from tests.include.classifier.drawing import IMAGE_SIZE

TRANSFORM = EvalTransform(IMAGE_SIZE, model.HALF)


def images(dataset: Path, name: str) -> ImageDataset:
    return ImageDataset(read_split(dataset / name), TRANSFORM)


@pytest.fixture
def lite0(lite0_weights: Path) -> model.Classifier:
    classifier = model.build("efficientnet_lite0", 3, IMAGE_SIZE)
    model.load_pretrained(classifier, lite0_weights)
    return classifier


def test_onnx_runtime_and_pytorch_agree(lite0: model.Classifier, dataset: Path) -> None:
    by_onnx, by_torch = (
        FeatureExtractor(lite0, IMAGE_SIZE, runtime).extract(images(dataset, "train"), range(39), "train")
        for runtime in ("onnxruntime", "torch")
    )

    assert by_onnx.shape == (39, 1280)
    np.testing.assert_allclose(by_onnx, by_torch, atol=1e-4)


def test_features_are_in_the_order_of_the_images(lite0: model.Classifier, dataset: Path) -> None:
    extractor, train = FeatureExtractor(lite0, IMAGE_SIZE), images(dataset, "train")

    features = extractor.extract(train, range(39), "train")

    np.testing.assert_allclose(features[-1:], extractor.extract(train, [38], "last"), atol=1e-4)


def test_progress_is_reported_with_rate_and_time_left(lite0: model.Classifier, dataset: Path) -> None:
    lines: list[str] = []

    FeatureExtractor(lite0, IMAGE_SIZE).extract(images(dataset, "test"), range(12), "test", lines.append)

    assert lines[-1].startswith("test: 12 of 12 images, ")
    assert lines[-1].endswith(" images/s, 0 s left")


def test_an_image_that_cannot_be_read_is_named(lite0: model.Classifier, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")

    broken = ImageDataset(Split("train", ["Red"], [tmp_path / "broken.jpg"], [0]), TRANSFORM)

    with pytest.raises(ImageError, match=r"broken\.jpg"):
        FeatureExtractor(lite0, IMAGE_SIZE).extract(broken, [0], "train")


def test_pytorch_is_used_where_onnx_runtime_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_copy, "can_write", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    assert fastest_runtime() == "torch"
