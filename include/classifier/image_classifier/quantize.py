"""Makes the 8-bit copy of an ONNX model, and measures what it costs in accuracy."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from . import onnx_copy
from .data import EvalTransform, ImageDataset, Split

# More than a few hundred images hardly change the ranges that are found.
CALIBRATION_IMAGES = 200
BATCH_SIZE = 16


def write(source: Path, path: Path, train: Split, transform: EvalTransform) -> None:
    """Write an ONNX model anew with 8-bit weights and activations (static quantization, QDQ format).

    The range of each activation is the one seen on some 200 images of the train split, the same ones each
    time, in which every class has its share. Weights have a range per output channel.

    :param source: an ONNX file by onnx_copy.write; onnx_copy.can_write() must hold.
    """
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = _batches(train, spread(len(train.paths)), transform)

        def get_next(self) -> dict[str, np.ndarray] | None:
            images, _ = next(self.batches, (None, None))
            return None if images is None else {onnx_copy.INPUT: images}

    with tempfile.TemporaryDirectory() as directory:
        prepared = Path(directory) / "prepared.onnx"
        # Folds and fuses what can be, and infers shapes; the symbolic inference is for transformers.
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        quantization.quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # Weights of 7 bits: processors without VNNI add two products in 16 bits, which overflow with 8.
            # The accuracy would depend on the machine: on one of AVX2, 3 points instead of 1 were lost.
            reduce_range=True,
            # The first layer, on three channels, is not faster in 8 bits, and the last one's answers would
            # be rounded to 256 levels: both stay in floats.
            nodes_to_exclude=[
                node.name
                for node in nodes
                if onnx_copy.INPUT in node.input or onnx_copy.OUTPUT in node.output
            ],
        )


def accuracies(models: Sequence[Path], valid: Split, transform: EvalTransform) -> list[float]:
    """Return the accuracy of each of several ONNX models on the same images, 0 to 1."""
    runs = [onnx_copy.load(path) for path in models]
    correct = [0] * len(runs)
    for images, labels in _batches(valid, range(len(valid.paths)), transform):
        for number, run in enumerate(runs):
            correct[number] += int((run(images).argmax(axis=1) == labels).sum())
    return [count / len(valid.paths) for count in correct]


def spread(images: int) -> list[int]:
    """Return up to CALIBRATION_IMAGES indices at even distances, of a split whose classes lie in order."""
    return [int(index) for index in np.linspace(0, images - 1, min(images, CALIBRATION_IMAGES))]


def _batches(
    split: Split, indices: Sequence[int], transform: EvalTransform
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images, float32 N x 3 x S x S, and their labels, N."""
    dataset = ImageDataset(split, transform)
    for start in range(0, len(indices), BATCH_SIZE):
        images, labels = zip(*(dataset[index] for index in indices[start : start + BATCH_SIZE]), strict=True)
        yield np.stack(images), np.asarray(labels)
