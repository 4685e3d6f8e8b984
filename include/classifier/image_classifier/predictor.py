"""Runs a saved classifier on images: by ONNX Runtime where it can, else by PyTorch."""

import json
import os
from pathlib import Path

import numpy as np

from . import cpus, gpu, onnx_copy
from .data import EvalTransform, Normalization
from .errors import ClassifierError

RUNTIME_VARIABLE = "MODEL_RUNTIME"
"""What must compute, so that a model is judged by what serves it: ``torch`` or ``onnxruntime``.

Without it, ONNX Runtime computes where it can, else PyTorch.
"""
TORCH, ONNX_RUNTIME = "torch", "onnxruntime"


class Predictor:
    """A saved classifier, ready to answer.

    :param directory: the unpacked model.tar.gz.
    :ivar runtime: what computes: "onnxruntime" or "torch".
    :ivar precision: "fp32" or "int8".
    :ivar promised_precision: the one that model.json names; PyTorch computes in fp32 whatever that is.
    :raises ClassifierError: there is a GPU that PyTorch can't use, or what RUNTIME_VARIABLE names can't compute.
    """

    def __init__(self, directory: Path) -> None:
        description = json.loads((directory / "model.json").read_text())
        self.classes: list[str] = json.loads((directory / "classes.json").read_text())
        normalization = Normalization(**{name: tuple(v) for name, v in description["normalization"].items()})
        self.transform = EvalTransform(description["image_size"], normalization)
        self.promised_precision: str = description["serve"]
        self.precision = self.promised_precision
        onnx_file = directory / ("model.int8.onnx" if self.precision == "int8" else "model.onnx")
        if _choose_runtime(onnx_file) == ONNX_RUNTIME:
            self.runtime = ONNX_RUNTIME
            self.run = onnx_copy.load(onnx_file)
        else:
            self.runtime, self.precision = TORCH, "fp32"
            self.run = _load_torch(directory, description, len(self.classes))

    def warm_up(self) -> None:
        """Compute the probabilities of one blank image.

        :raises Exception: the model can't compute.
        """
        size = self.transform.image_size
        self.probabilities([np.zeros((3, size, size), np.float32)])

    def prepare(self, image: bytes) -> np.ndarray:
        """Return what the model takes of an encoded image: float32, 3 x S x S.

        :raises ImageError: it is not an image that can be used.
        """
        return self.transform.load(image)

    def probabilities(self, prepared: list[np.ndarray]) -> np.ndarray:
        """Return the probability of every class for prepared images, float64 N x C, in one forward pass."""
        logits = self.run(np.stack(prepared)).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def _choose_runtime(onnx_file: Path) -> str:
    """Return what computes.

    :raises ClassifierError: it has to be ONNX Runtime, and can't.
    """
    wanted = os.environ.get(RUNTIME_VARIABLE)
    if wanted == ONNX_RUNTIME:
        if not onnx_copy.can_run():
            raise ClassifierError(
                f"{RUNTIME_VARIABLE} is {ONNX_RUNTIME}, which is not installed. Install it."
            )
        if not onnx_file.exists():
            raise ClassifierError(
                f"{RUNTIME_VARIABLE} is {ONNX_RUNTIME}, but {onnx_file.name} does not exist: the model was saved where "
                "the packages onnx and onnxruntime are not installed. Train it where they are."
            )
        return ONNX_RUNTIME
    may_use_onnx = wanted != TORCH and not gpu.is_present()
    return ONNX_RUNTIME if may_use_onnx and onnx_file.exists() and onnx_copy.can_run() else TORCH


def _load_torch(directory: Path, description: dict, classes: int) -> onnx_copy.Run:
    # None of them is needed where ONNX Runtime answers.
    import torch

    from . import model, tensors

    torch.set_num_threads(cpus.threads())
    device = gpu.device()
    classifier = model.build(description["architecture"], classes, description["image_size"])
    classifier.load_state_dict(tensors.read_state(directory / "model.safetensors"))
    # Channels last is the order in which convolutions compute; on a CPU it saves 7 to 18 % of the time.
    classifier.eval().to(device).to(memory_format=torch.channels_last)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            return classifier(batch).cpu().numpy()

    return run
