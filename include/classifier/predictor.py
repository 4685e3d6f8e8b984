"""Runs a saved classifier on images: by ONNX Runtime where it can, else by PyTorch."""

import json
from pathlib import Path

import cpus
import numpy as np
import onnx_copy
from data import EvalTransform, Normalisation

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
        self.precision: str = description["serve"]
        onnx_file = directory / ("model.int8.onnx" if self.precision == "int8" else "model.onnx")
        if onnx_file.exists() and onnx_copy.can_run() and not GPU_DEVICE.exists():
            self.runtime = "onnxruntime"
            self._run = onnx_copy.load(onnx_file)
        else:
            self.runtime, self.precision = "torch", "fp32"
            self._run = _load_torch(directory, description, len(self.classes))

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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = model.build(description["architecture"], classes, description["image_size"])
    classifier.load_state_dict(torch.load(directory / "model.pt", map_location="cpu", weights_only=True))
    # Channels last is the order in which convolutions compute; on a CPU it saves 7 to 18 % of the time.
    classifier.eval().to(device, memory_format=torch.channels_last)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            return classifier(batch).cpu().numpy()

    return run
