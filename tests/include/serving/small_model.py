"""A small saved model, without training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

CLASSIFIER = Path(__file__).parents[3] / "include" / "classifier"
CLASSES = ["001.Red", "002.Green", "003.Blue"]
# Appended to the model's predictor: while a file of this name lies in the model's folder, it waits where it is.
GATES = """
import time

def _gate(directory, name):
    with (directory / f"{name}.log").open("a") as log:
        log.write("x")
    while (directory / name).exists():
        time.sleep(0.02)

class Predictor(Predictor):
    def __init__(self, directory):
        self._directory = directory
        _gate(directory, "loading")
        super().__init__(directory)

    def prepare(self, image):
        prepared = super().prepare(image)
        _gate(self._directory, "preparing")
        return prepared

    def probabilities(self, prepared):
        _gate(self._directory, "computing")
        return super().probabilities(prepared)
"""


def write_model(folder: Path) -> Path:
    """Save a model as a training job does, except for its weights: its most probable class is the image's color.

    :return: the folder that stands for ``/opt/ml``.
    """
    model = folder / "model"
    shutil.copytree(CLASSIFIER, model / "code", ignore=shutil.ignore_patterns("__pycache__"))
    with (model / "code" / "image_classifier" / "predictor.py").open("a") as predictor:
        predictor.write(GATES)
    description = {
        "architecture": "resnet18",
        "image_size": 32,
        "normalization": {"mean": [0.5] * 3, "std": [0.5] * 3},
        "serve": "fp32",
    }
    (model / "model.json").write_text(json.dumps(description))
    (model / "classes.json").write_text(json.dumps(CLASSES))
    (model / "model.onnx").write_bytes(_network())
    return folder


def _network() -> bytes:
    """An ONNX file: the mean of each channel, times four."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "four"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "color",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array([4], np.float32), "four")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
