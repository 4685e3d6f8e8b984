"""The 8-bit copy of a model is small, the same each time, and accurate on images it was not calibrated on."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from image_classifier import onnx_copy, quantize
from image_classifier.data import EvalTransform, Split, read_split
from image_classifier.model import HALF

from tests.include.classifier.drawing import CLASSES, IMAGE_SIZE
from tests.include.classifier.training import Trained

TRANSFORM = EvalTransform(IMAGE_SIZE, HALF)


@pytest.fixture(scope="module")
def int8(trained: Trained, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
    quantize.write(trained.model / "model.onnx", path, read_split(dataset / "train"), TRANSFORM)
    return path


def weights(path: Path) -> dict[str, int]:
    """Return how many tensors of each type a file holds, small ones (scales, zero points) left out."""
    types = [t.data_type for t in onnx.load(path).graph.initializer if np.prod(t.dims) > 5000]
    return {onnx.TensorProto.DataType.Name(kind): types.count(kind) for kind in set(types)}


def test_weights_are_of_eight_bits(int8: Path, trained: Trained) -> None:
    assert set(weights(int8)) == {"INT8"}
    assert int8.stat().st_size < 0.3 * (trained.model / "model.onnx").stat().st_size


def test_weights_have_seven_bits_that_no_processor_overflows(int8: Path) -> None:
    large = [
        onnx.numpy_helper.to_array(t)
        for t in onnx.load(int8).graph.initializer
        if t.data_type == onnx.TensorProto.INT8 and np.prod(t.dims) > 5000
    ]

    assert max(np.abs(array.astype(int)).max() for array in large) <= 64


def test_the_last_layer_answers_in_floats(int8: Path) -> None:
    nodes = onnx.load(int8).graph.node

    assert [node.op_type for node in nodes if onnx_copy.OUTPUT in node.output] == ["Gemm"]


def test_quantizing_twice_gives_the_same_file(
    int8: Path, trained: Trained, dataset: Path, tmp_path: Path
) -> None:
    quantize.write(
        trained.model / "model.onnx", tmp_path / "again.onnx", read_split(dataset / "train"), TRANSFORM
    )

    assert (tmp_path / "again.onnx").read_bytes() == int8.read_bytes()


def test_accuracies_are_of_each_model_on_the_same_images(int8: Path, trained: Trained, dataset: Path) -> None:
    valid = read_split(dataset / "valid")

    fp32, quantized = quantize.accuracies([trained.model / "model.onnx", int8], valid, TRANSFORM)

    assert fp32 == trained.best.validation.accuracy
    assert quantized == pytest.approx(fp32, abs=0.1)


def test_accuracy_is_the_share_of_right_answers(trained: Trained, dataset: Path) -> None:
    valid = read_split(dataset / "valid")
    only_red = Split("valid", valid.classes, valid.paths, [0] * len(valid.paths))

    assert quantize.accuracies([trained.model / "model.onnx"], only_red, TRANSFORM) == [
        pytest.approx(1 / len(CLASSES), abs=0.1)
    ]


@pytest.mark.parametrize(("images", "expected"), [(3, 3), (200, 200), (5000, 200)])
def test_calibration_takes_its_images_evenly(images: int, expected: int) -> None:
    indices = quantize.spread(images)

    assert len(set(indices)) == expected
    assert (indices[0], indices[-1]) == (0, images - 1)
    assert set(np.diff(indices)) <= {images // expected, images // expected + 1}
