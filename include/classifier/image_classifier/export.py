"""Saves a trained classifier as SageMaker serves it: weights, ONNX copy, classes, description and code."""

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import model, onnx_copy, quantize, tensors
from .data import EvalTransform, read_splits
from .errors import ClassifierError

# What servers and evaluations import; it runs the package beside it.
SERVING_SCRIPTS = ("inference.py", "serve_app.py")
PACKAGE = Path(__file__).resolve().parent
# Beside them, where the code was shipped with wheels: the model takes along those for all images.
WHEELS = "wheels"
LITE0_PACKAGE = "efficientnet_lite_pytorch"

# Largest difference between the logits of PyTorch and ONNX Runtime, relative to the largest logit above 1.
TOLERANCE = 1e-4

# A loss of one image in a hundred is not above 0.01, whatever the last digit of a difference of floats says.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Int8Options:
    """Whether, and at what price, a model may be served in 8-bit integers.

    :param max_accuracy_drop: by how much its accuracy on the validation images may fall, 0 to 1.
    :param images: the data set: a folder with train/, to calibrate on, and valid/, to measure on.
    """

    max_accuracy_drop: float
    images: Path


def save(
    classifier: model.Classifier,
    directory: Path,
    *,
    architecture: str,
    image_size: int,
    classes: list[str],
    metrics: dict[str, float],
    hyperparameters: dict[str, Any],
    int8: Int8Options | None = None,
) -> None:
    """Write model.safetensors, model.onnx (where ONNX is installed), classes.json, model.json and code/ into a folder.

    :param metrics: of the best epoch, by name.
    :param int8: if given, model.int8.onnx is written too where it is accurate enough, and served;
        model.json then says "serve": "int8" in place of "fp32".
    :raises ClassifierError: the images for int8 are missing, or show other classes than the model's.
    """
    directory.mkdir(parents=True, exist_ok=True)
    classifier = classifier.cpu().eval()
    tensors.write_state(directory / "model.safetensors", classifier.state_dict())
    (directory / "classes.json").write_text(json.dumps(classes, indent=2))
    _copy_code(directory / "code", architecture)
    _save_onnx(classifier, image_size, directory / "model.onnx")
    normalization = model.normalization(architecture)
    transform = EvalTransform(image_size, normalization)
    description = {
        "architecture": architecture,
        "image_size": image_size,
        "normalization": {"mean": normalization.mean, "std": normalization.std},
        "metrics": metrics,
        "hyperparameters": hyperparameters,
        "serve": "fp32",
        **(_save_int8(directory, classes, transform, int8) if int8 else {}),
    }
    (directory / "model.json").write_text(json.dumps(description, indent=2))


def _copy_code(directory: Path, architecture: str) -> None:
    directory.mkdir(exist_ok=True)
    here = PACKAGE.parent
    for name in SERVING_SCRIPTS:
        shutil.copyfile(here / name, directory / name)
    _copy_package(PACKAGE, directory / PACKAGE.name)
    if (here / WHEELS).is_dir():
        _copy_package(here / WHEELS, directory / WHEELS)
    if architecture == model.LITE0:
        package = importlib.util.find_spec(LITE0_PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise ClassifierError(f"The package {LITE0_PACKAGE}, which serving needs, is not installed.")
        _copy_package(Path(package.submodule_search_locations[0]), directory / LITE0_PACKAGE)


def _copy_package(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def _save_onnx(classifier: model.Classifier, image_size: int, path: Path) -> None:
    """Write the ONNX copy if it can be and answers as PyTorch does; otherwise PyTorch serves the model."""
    if not onnx_copy.can_write():
        print("model.onnx is not written: onnx and onnxruntime are not both installed.", flush=True)
        return
    try:
        onnx_copy.write(classifier, image_size, path)
        difference = _difference(classifier, image_size, path)
    except Exception as error:  # the exporter has no common error for the operators it does not know
        path.unlink(missing_ok=True)
        print(f"model.onnx is not written: the model cannot be exported ({str(error)[:200]}).", flush=True)
        return
    if not difference <= TOLERANCE:
        path.unlink()
        print(f"model.onnx is not written: it differs from PyTorch by {difference:.2g}.", flush=True)


def _save_int8(
    directory: Path, classes: list[str], transform: EvalTransform, options: Int8Options
) -> dict[str, Any]:
    """Write the 8-bit copy if it is accurate enough, and return what model.json says about it."""
    source, path = directory / "model.onnx", directory / "model.int8.onnx"
    if not source.exists():
        print("The model is served in fp32: int8 needs model.onnx, which is not there.", flush=True)
        return {}
    splits = read_splits(options.images, ("train", "valid"))
    if splits["train"].classes != classes:
        raise ClassifierError(f"The images for int8 in {options.images} show other classes than the model's.")
    try:
        quantize.write(source, path, splits["train"], transform)
        fp32, int8 = quantize.accuracies([source, path], splits["valid"], transform)
    except ClassifierError:
        raise
    except Exception as error:  # as the exporter, the quantizer has no common error for what it does not know
        path.unlink(missing_ok=True)
        print(f"The model is served in fp32: it cannot be quantized ({str(error)[:200]}).", flush=True)
        return {}
    kept = fp32 - int8 <= options.max_accuracy_drop + ROUNDING
    if not kept:
        path.unlink()
    serve = "int8" if kept else "fp32"
    print(
        f"The model is served in {serve}: on {len(splits['valid'].paths)} validation images int8 has an "
        f"accuracy of {int8:.4f} and fp32 of {fp32:.4f}, and at most {options.max_accuracy_drop:g} may be lost.",
        flush=True,
    )
    return {"serve": serve, "validation_accuracy": {"fp32": fp32, "int8": int8}}


def _difference(classifier: model.Classifier, image_size: int, path: Path) -> float:
    # Three images, where the export traced two: that the batch may be of any size is checked too.
    images = np.random.default_rng(0).normal(size=(3, 3, image_size, image_size)).astype(np.float32)
    with torch.inference_mode():
        expected = classifier(torch.from_numpy(images)).numpy()
    return float(np.abs(onnx_copy.load(path)(images) - expected).max() / max(1.0, np.abs(expected).max()))
