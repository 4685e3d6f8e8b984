"""What AWS's training toolkit does with the script, its hyperparameters, its failures and a signal to the container.

The first process is a shell as in AWS's image, in a PID namespace of its own, where it is process 1. Local AWS starts
the toolkit without that shell, and treats its jobs as what is seen here.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.environments import WITHOUT_TORCH

# As start_with_right_hostname.sh of AWS's PyTorch images, which sets no trap and does not `exec`.
START = """
if [[ "$1" = "train" ]]; then
    train
else
    eval "$@"
fi
"""
NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
WAITS = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("told").touch())
while True:
    pathlib.Path("steps").write_text(str(time.time()))
    time.sleep(0.05)
"""


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    """Skip where no PID namespace can be made: elsewhere than on Linux, and in some containers."""
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"], check=False).returncode:
        pytest.skip("This machine lets nobody make a PID namespace (unshare of util-linux, on Linux).")


class Container:
    """The folder that stands for /opt/ml, and the toolkit in it."""

    def __init__(self, base: Path, bin_folder: Path) -> None:
        self.base = base
        self._bin = bin_folder

    def start(self, script: str, **hyperparameters: str) -> "subprocess.Popen[bytes]":
        """Start the container on a script."""
        for name in ("input/config", "input/data", "model", "output/data", "code"):
            (self.base / name).mkdir(parents=True)
        (self.base / "code" / "train.py").write_text(script)
        documents: dict[str, Any] = {
            "hyperparameters": {
                "sagemaker_program": json.dumps("train.py"),
                "sagemaker_submit_directory": json.dumps(str(self.base / "code")),
                **hyperparameters,
            },
            "inputdataconfig": {},
            "resourceconfig": {
                "current_host": "127.0.0.1",
                "hosts": ["127.0.0.1"],
                "network_interface_name": "lo",
                "current_instance_type": "ml.m5.large",
                "current_group_name": "homogeneousCluster",
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": "ml.m5.large",
                        "hosts": ["127.0.0.1"],
                    }
                ],
            },
        }
        for name, document in documents.items():
            (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(document))
        (self.base / "start.sh").write_text(START)
        return subprocess.Popen(
            [*NAMESPACE, "bash", "-m", str(self.base / "start.sh"), "train"],
            cwd=self.base,
            env={
                **os.environ,
                **WITHOUT_TORCH,
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                "SAGEMAKER_BASE_DIR": str(self.base),
                "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            stdout=(self.base / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def run(self, script: str, **hyperparameters: str) -> int:
        """Run a script to its end; return the container's exit status."""
        return self.start(script, **hyperparameters).wait(120)

    @property
    def failure(self) -> str:
        """What the toolkit wrote for SageMaker."""
        return (self.base / "output" / "failure").read_text()


@pytest.fixture
def container(training_toolkit: Path, tmp_path: Path) -> Container:
    return Container(tmp_path, training_toolkit)


@pytest.fixture
def waiting(container: Container, eventually: Callable[..., Any]) -> Iterator[int]:
    """The id of the first process of a container whose script runs."""
    process = container.start(WAITS)
    steps = container.base / "code" / "steps"
    try:
        eventually(steps.exists)
        [shell] = psutil.Process(process.pid).children()
        assert shell.name() == "bash"
        yield shell.pid
    finally:
        process.kill()  # and with it all processes of the namespace
        process.wait()


def test_sigterm_to_the_container_does_not_reach_the_script(
    waiting: int, container: Container, eventually: Callable[..., Any]
) -> None:
    status = Path(f"/proc/{waiting}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    assert not caught >> (signal.SIGTERM - 1) & 1
    os.kill(waiting, signal.SIGTERM)
    signaled = time.time()
    steps = container.base / "code" / "steps"
    # It keeps training. The file is empty while the script writes it.
    eventually(lambda: float(steps.read_text() or 0) > signaled + 1)
    assert not (container.base / "code" / "told").exists()


def test_hyperparameters_reach_the_script_sorted_and_decoded(container: Container) -> None:
    script = "import json, os, pathlib, sys\npathlib.Path('seen').write_text(json.dumps(sys.argv[1:]))\n"
    status = container.run(
        script, epochs="3", learning_rate="0.01", amp='"true"', bare="true", architecture='"lite0"'
    )
    assert status == 0
    assert json.loads((container.base / "code" / "seen").read_text()) == [
        *("--amp", "true"),
        *("--architecture", "lite0"),
        *("--bare", "True"),  # which is why the product sends booleans as texts
        *("--epochs", "3"),
        *("--learning_rate", "0.01"),
    ]
    assert (container.base / "output" / "success").exists()


def test_the_sentence_of_a_failure_is_in_the_failure_file(container: Container) -> None:
    # As include/classifier/image_classifier/errors.py ends a program.
    status = container.run("import sys\nsys.exit('ValueError: The data set has one class.')\n")
    assert status == 1
    assert container.failure.startswith("ExecuteUserScriptError:\nExitCode 1\nErrorMessage ")
    assert "ValueError: The data set has one class." in container.failure[:1024]


def test_a_script_that_ends_itself_with_143_fails_the_job(container: Container) -> None:
    assert container.run("raise SystemExit(143)\n") == 1
    assert "ExitCode 143" in container.failure
