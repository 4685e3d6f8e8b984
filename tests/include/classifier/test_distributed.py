"""Several processes started by torchrun train as one would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import distributed
import pytest
import train
from errors import ClassifierError

from tests.include.classifier.drawing import IMAGE_SIZE
from tests.include.classifier.training import Trained


def torchrun(arguments: list[str], processes: int, environment: dict[str, str]) -> str:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    job = subprocess.Popen(
        [sys.executable, *launcher, train.__file__, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        output, _ = job.communicate(timeout=200)
    finally:
        job.terminate()  # upon which torchrun ends its processes too; killed, it would leave them behind
        job.wait(30)
    assert job.returncode == 0
    return output


def test_two_processes_give_the_result_of_one(
    trained: Trained, dataset: Path, lite0_weights: Path, tmp_path: Path
) -> None:
    output = torchrun(
        [f"--image_size={IMAGE_SIZE}", "--batch_size=8", "--epochs=4"],
        processes=2,
        environment={
            "SM_CHANNEL_TRAINING": str(dataset),
            "SM_CHANNEL_PRETRAINED": str(lite0_weights),
            "SM_MODEL_DIR": str(tmp_path / "model"),
            "SM_OUTPUT_DATA_DIR": str(tmp_path / "output"),
        },
    )

    assert output.count("best:validation_loss=") == 1
    metrics = json.loads((tmp_path / "model" / "model.json").read_text())["metrics"]
    assert metrics["validation_loss"] == pytest.approx(trained.best.validation.loss, abs=0.02)
    assert metrics["validation_accuracy"] == trained.best.validation.accuracy


def test_hosts_that_would_train_alone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_HOSTS", '["algo-1", "algo-2"]')
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    with pytest.raises(ClassifierError, match="2 hosts, but each would train a model of its own"):
        with distributed.join():
            pass
