"""The ONNX copy of a model: writing it, and running it with ONNX Runtime, where that is installed."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

Run = Callable[[np.ndarray], np.ndarray]


def can_run() -> bool:
    """Return whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def can_write() -> bool:
    """Return whether the packages needed to write an ONNX file, and to check it, are installed."""
    return can_run() and importlib.util.find_spec("onnx") is not None


def write(module: nn.Module, image_size: int, path: Path) -> None:
    """Write a module that takes images (N x 3 x S x S, any N) as an ONNX file.

    :param module: in evaluation mode, on the CPU.
    """
    import torch  # what only runs a model need not import torch (4 to 10 s)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes on deprecation and on shapes fixed by tracing
        torch.onnx.export(
            module,
            (torch.zeros(2, 3, image_size, image_size),),
            str(path),
            input_names=["images"],
            output_names=["output"],
            dynamic_axes={"images": {0: "batch"}, "output": {0: "batch"}},
            opset_version=17,
            # The exporter by tracing takes 1 s where the one by torch.export takes 5 s, which a tuning job
            # pays in every trial; whoever writes a file compares its answers with PyTorch's.
            dynamo=False,
        )


def load(path: Path) -> Run:
    """Load an ONNX file and return a function from images to its output, both float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: one per core
    # Threads that wait actively take the cores from those that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]
