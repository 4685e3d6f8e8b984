"""Runs a saved classifier on images: by ONNX Runtime where it can, else by PyTorch."""

import json
import os
from pathlib import Path

import cpus
import gpu
import numpy as np
import onnx_copy
from data import EvalTransform, Normalisation

RUNTIME_VARIABLE = "MODEL_RUNTIME"
"""With the value ``torch``, PyTorch computes where ONNX Runtime could: as at an endpoint that has no ONNX Runtime."""


class Predictor:
    """A saved classifier, ready to answer.

    :param directory: the unpacked model.tar.gz.
    :ivar runtime: what computes: "onnxruntime" or "torch".
    :ivar precision: "fp32" or "int8".
    :ivar promised_precision: the one that model.json names; PyTorch computes in fp32 whatever that is.
    :raises ClassifierError: there is a GPU that PyTorch can't use.
    """

    def __init__(self, directory: Path) -> None:
        description = json.loads((directory / "model.json").read_text())
        self.classes: list[str] = json.loads((directory / "classes.json").read_text())
        normalisation = Normalisation(**{name: tuple(v) for name, v in description["normalisation"].items()})
        self.transform = EvalTransform(description["image_size"], normalisation)
        self.promised_precision: str = description["serve"]
        self.precision = self.promised_precision
        onnx_file = directory / ("model.int8.onnx" if self.precision == "int8" else "model.onnx")
        may_use_onnx = os.environ.get(RUNTIME_VARIABLE) != "torch" and not gpu.is_present()
        if may_use_onnx and onnx_file.exists() and onnx_copy.can_run():
            self.runtime = "onnxruntime"
            self._run = onnx_copy.load(onnx_file)
        else:
            self.runtime, self.precision = "torch", "fp32"
            self._run = _load_torch(directory, description, len(self.classes))

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
        logits = self._run(np.stack(prepared)).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def _load_torch(directory: Path, description: dict, classes: int) -> onnx_copy.Run:
    import model
    import torch  # not needed at all where ONNX Runtime answers

    torch.set_num_threads(cpus.threads())
    device = gpu.device()
    classifier = model.build(description["architecture"], classes, description["image_size"])
    classifier.load_state_dict(torch.load(directory / "model.pt", map_location="cpu", weights_only=True))
    # Channels last is the order in which convolutions compute; on a CPU it saves 7 to 18 % of the time.
    classifier.eval().to(device, memory_format=torch.channels_last)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            return classifier(batch).cpu().numpy()

    return run
