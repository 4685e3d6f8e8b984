"""Saves a trained classifier as SageMaker serves it: weights, ONNX copy, classes, description and code."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import model
import numpy as np
import onnx_model
import torch
from errors import ClassifierError

# inference.py and all that it imports.
SERVING_CODE = (
    "data.py",
    "errors.py",
    "fetch.py",
    "images.py",
    "inference.py",
    "model.py",
    "onnx_model.py",
    "payload.py",
    "predictor.py",
)
LITE0_PACKAGE = "efficientnet_lite_pytorch"

# Largest difference between the logits of PyTorch and ONNX Runtime, relative to the largest logit above 1.
TOLERANCE = 1e-4


def save(
    classifier: model.Classifier,
    directory: Path,
    *,
    architecture: str,
    image_size: int,
    classes: list[str],
    metrics: dict[str, float],
    hyperparameters: dict[str, Any],
) -> None:
    """Write model.pt, model.onnx (where ONNX is installed), classes.json, model.json and code/ into a folder.

    :param metrics: of the best epoch, by name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    classifier = classifier.cpu().eval()
    torch.save(classifier.state_dict(), directory / "model.pt")
    (directory / "classes.json").write_text(json.dumps(classes, indent=2))
    normalisation = model.normalisation(architecture)
    description = {
        "architecture": architecture,
        "image_size": image_size,
        "normalisation": {"mean": normalisation.mean, "std": normalisation.std},
        "metrics": metrics,
        "hyperparameters": hyperparameters,
    }
    (directory / "model.json").write_text(json.dumps(description, indent=2))
    _copy_code(directory / "code", architecture)
    _save_onnx(classifier, image_size, directory / "model.onnx")


def _copy_code(directory: Path, architecture: str) -> None:
    directory.mkdir(exist_ok=True)
    here = Path(__file__).parent
    for name in SERVING_CODE:
        shutil.copyfile(here / name, directory / name)
    if architecture == model.LITE0:
        package = importlib.util.find_spec(LITE0_PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise ClassifierError(f"The package {LITE0_PACKAGE}, which serving needs, is not installed.")
        shutil.copytree(
            package.submodule_search_locations[0],
            directory / LITE0_PACKAGE,
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )


def _save_onnx(classifier: model.Classifier, image_size: int, path: Path) -> None:
    """Write the ONNX copy if it can be and answers as PyTorch does; otherwise PyTorch serves the model."""
    if not onnx_model.can_write():
        print("model.onnx is not written: onnx and onnxruntime are not both installed.", flush=True)
        return
    try:
        onnx_model.write(classifier, image_size, path)
        difference = _difference(classifier, image_size, path)
    except Exception as error:  # the exporter has no common error for the operators it does not know
        path.unlink(missing_ok=True)
        print(f"model.onnx is not written: the model cannot be exported ({str(error)[:200]}).", flush=True)
        return
    if not difference <= TOLERANCE:
        path.unlink()
        print(f"model.onnx is not written: it differs from PyTorch by {difference:.2g}.", flush=True)


def _difference(classifier: model.Classifier, image_size: int, path: Path) -> float:
    # Three images, where the export traced two: that the batch may be of any size is checked too.
    images = np.random.default_rng(0).normal(size=(3, 3, image_size, image_size)).astype(np.float32)
    with torch.inference_mode():
        expected = classifier(torch.from_numpy(images)).numpy()
    return float(np.abs(onnx_model.load(path)(images) - expected).max() / max(1.0, np.abs(expected).max()))
