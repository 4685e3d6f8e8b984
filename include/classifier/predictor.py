"""Runs a saved classifier on images: by ONNX Runtime where it can, else by PyTorch."""

import json
from pathlib import Path

import numpy as np
import onnx_model
from data import EvalTransform, Normalisation
from PIL import Image

# Present where the NVIDIA driver is. Asking torch would mean importing it, which takes 4 to 10 s.
GPU_DEVICE = Path("/dev/nvidiactl")


class Predictor:
    """A saved classifier, ready to answer.

    :param directory: the unpacked model.tar.gz.
    """

    def __init__(self, directory: Path) -> None:
        description = json.loads((directory / "model.json").read_text())
        self.classes: list[str] = json.loads((directory / "classes.json").read_text())
        normalisation = Normalisation(**{name: tuple(v) for name, v in description["normalisation"].items()})
        self.transform = EvalTransform(description["image_size"], normalisation)
        onnx_file = directory / "model.onnx"
        if onnx_file.exists() and onnx_model.can_run() and not GPU_DEVICE.exists():
            self.runtime = "onnxruntime"
            self._run = onnx_model.load(onnx_file)
        else:
            self.runtime = "torch"
            self._run = _load_torch(directory, description, len(self.classes))

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Return what the model takes of an RGB image: float32, 3 x S x S."""
        return self.transform(image)

    def probabilities(self, prepared: list[np.ndarray]) -> np.ndarray:
        """Return the probability of every class for prepared images, float64 N x C, in one forward pass."""
        logits = self._run(np.stack(prepared)).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def _load_torch(directory: Path, description: dict, classes: int) -> onnx_model.Run:
    import model
    import torch  # not needed at all where ONNX Runtime answers

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = model.build(description["architecture"], classes, description["image_size"])
    classifier.load_state_dict(torch.load(directory / "model.pt", map_location="cpu", weights_only=True))
    classifier.eval().to(device)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return classifier(torch.from_numpy(images).to(device)).cpu().numpy()

    return run
