"""Runs a frozen backbone over images, by the fastest means the machine has."""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from . import gpu, onnx_copy
from .model import Classifier

Runtime = Literal["onnxruntime", "cuda", "torch"]

BATCH_SIZE = 32
SECONDS_BETWEEN_PROGRESS = 10.0


class Images(Protocol):
    """Images as the backbone takes them, float32 3 x S x S, with their labels."""

    def __getitem__(self, key: Any) -> tuple[np.ndarray, int]: ...


def fastest_runtime() -> Runtime:
    """Return "cuda" where there is a GPU, else "onnxruntime" where it is installed, else "torch".

    On a CPU, ONNX Runtime does some ten times as many images per second as eager PyTorch.

    :raises ClassifierError: there is a GPU that PyTorch can't use.
    """
    if gpu.device().type == "cuda":
        return "cuda"
    return "onnxruntime" if onnx_copy.can_write() else "torch"


class FeatureExtractor:
    """The features of images under the backbone of a classifier, which is left as it is.

    :param image_size: side of the square images, in pixels.
    :param runtime: the fastest unless given.
    """

    def __init__(self, model: Classifier, image_size: int, runtime: Runtime | None = None) -> None:
        self.runtime = runtime or fastest_runtime()
        self._run = self._prepare(model.backbone.eval(), image_size)

    def extract(
        self,
        images: Images,
        keys: Sequence[Any],
        name: str,
        report: Callable[[str], None] = print,
    ) -> np.ndarray:
        """Return the features of images, float32 N x D.

        :param images: asked from several threads.
        :param keys: of N images.
        :param name: what progress lines call these images.
        :param report: is called with a line of progress every ten seconds and at the end.
        :raises ImageError: a file is not an image that can be used; the message names it.
        """
        started = reported = time.monotonic()
        features: list[np.ndarray] = []
        done = 0
        for batch in _batches(images, keys):
            features.append(self._run(batch))
            done += len(batch)
            now = time.monotonic()
            if done == len(keys) or now - reported > SECONDS_BETWEEN_PROGRESS:
                reported = now
                rate = done / max(now - started, 1e-9)
                left = (len(keys) - done) / rate
                report(f"{name}: {done} of {len(keys)} images, {rate:.0f} images/s, {left:.0f} s left")
        return np.concatenate(features)

    def _prepare(self, backbone: nn.Module, image_size: int) -> onnx_copy.Run:
        if self.runtime == "onnxruntime":
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "backbone.onnx"
                onnx_copy.write(backbone, image_size, path)
                return onnx_copy.load(path)
        device = torch.device("cuda" if self.runtime == "cuda" else "cpu")
        backbone.to(device)

        def run(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return backbone(torch.from_numpy(images).to(device)).cpu().numpy()

        return run


def _batches(images: Images, keys: Sequence[Any]) -> Iterator[np.ndarray]:
    """Yield batches in order, read ahead by threads: decoding and resizing release the interpreter's lock."""

    def load(key: Any) -> np.ndarray:
        return images[key][0]

    def stack(futures: list[Future[np.ndarray]]) -> np.ndarray:
        return np.stack([future.result() for future in futures])

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        ahead: deque[list[Future[np.ndarray]]] = deque()
        for start in range(0, len(keys), BATCH_SIZE):
            ahead.append([pool.submit(load, key) for key in keys[start : start + BATCH_SIZE]])
            if len(ahead) > 2:
                yield stack(ahead.popleft())
        while ahead:
            yield stack(ahead.popleft())
