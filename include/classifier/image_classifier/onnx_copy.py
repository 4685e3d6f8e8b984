"""The ONNX copy of a model: writing it, and running it with ONNX Runtime, where that is installed.

It is not called onnx_model, because ONNX Runtime's quantization imports a module of its own by that bare name.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import cpus

if TYPE_CHECKING:
    from torch import nn

# Read by every ONNX Runtime since 1.13 (2022), and enough for 8-bit weights per channel.
OPSET = 17
INPUT, OUTPUT = "images", "output"

Run = Callable[[np.ndarray], np.ndarray]


def can_run() -> bool:
    """Return whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def can_write() -> bool:
    """Return whether the packages needed to write an ONNX file, to check it and to quantize it are installed."""
    return can_run() and importlib.util.find_spec("onnx") is not None


def write(module: nn.Module, image_size: int, path: Path) -> None:
    """Write a module that takes images (N x 3 x S x S, any N) as an ONNX file.

    The file's input is called INPUT and its output OUTPUT; both are float32.

    :param module: in evaluation mode, on the CPU.
    """
    import torch  # what only runs a model need not import torch (4 to 10 s)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes on deprecation and on shapes fixed by tracing
        torch.onnx.export(
            module,
            (torch.zeros(2, 3, image_size, image_size),),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            # The exporter by tracing takes 1 s where the one by torch.export takes 5 s, which a tuning job
            # pays in every trial; whoever writes a file compares its answers with PyTorch's.
            dynamo=False,
        )


def load(path: Path) -> Run:
    """Load an ONNX file and return a function from images to its output, both float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus.threads()
    # Threads that wait actively take the cores from those that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {INPUT: images})[0]
