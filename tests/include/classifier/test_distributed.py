"""Several processes started by torchrun train as one would."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from image_classifier import distributed
from image_classifier.errors import ClassifierError

from tests.include.classifier import fine_tuning_job
from tests.include.classifier.conftest import CLASSIFIER
from tests.include.classifier.drawing import IMAGE_SIZE, write_images
from tests.include.classifier.training import Trained

JOB = fine_tuning_job.__file__
# As `python -m torch.distributed.run`, but for the garbage collection, which takes a quarter of its time.
TORCHRUN = "import gc; gc.disable(); from torch.distributed import run; gc.freeze(); run.main()"


def torchrun(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a script in two processes, and return the exit status and what it printed."""
    launcher = ["-c", TORCHRUN, "--standalone", "--nproc_per_node", "2"]
    job = subprocess.Popen(
        [sys.executable, *launcher, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        output, _ = job.communicate()
    finally:
        job.terminate()  # upon which torchrun ends its processes too; killed, it would leave them behind
        job.wait()
    return job.returncode, output


def test_two_processes_give_the_result_of_one(
    trained: Trained, dataset: Path, lite0_weights: Path, tmp_path: Path
) -> None:
    """The 39 images are filled up to 40 for two processes, so their last batch differs by one image."""
    status, output = torchrun(
        [str(CLASSIFIER / "train.py"), f"--image_size={IMAGE_SIZE}", "--batch_size=8", "--epochs=4"],
        environment={
            "SM_CHANNEL_TRAINING": str(dataset),
            "SM_CHANNEL_PRETRAINED": str(lite0_weights),
            "SM_MODEL_DIR": str(tmp_path / "model"),
            "SM_OUTPUT_DATA_DIR": str(tmp_path / "output"),
        },
    )

    assert status == 0
    assert output.count("epoch=1 best:validation_loss=") == 1
    metrics = json.loads((tmp_path / "model" / "model.json").read_text())["metrics"]
    assert metrics["validation_loss"] == pytest.approx(trained.best.validation.loss, abs=0.02)
    assert metrics["validation_accuracy"] == trained.best.validation.accuracy


def test_two_processes_that_are_ended_and_go_on_fine_tune_as_one(tmp_path: Path) -> None:
    """Augmentation and order are the same, so that only the order of floating-point additions differs."""
    data = write_images(tmp_path / "data", {"train": 12, "valid": 5})
    (tmp_path / "checkpoints").mkdir()
    with_checkpoints = {
        # With what `make test-images` has put there.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CLASSIFIER), os.environ.get("PYTHONPATH")])),
        "SAGEMAKER_BASE_DIR": str(tmp_path),
    }
    alone, pair = tmp_path / "alone.json", tmp_path / "pair.json"

    fine_tuning_job.main(data, alone)
    # Only the second process gets SIGTERM. The first one saves the checkpoint.
    status, output = torchrun([JOB, str(data), str(pair), "1", "1", "3"], with_checkpoints)
    assert (status != 0, pair.exists()) == (True, False)
    assert "Told to end by SIGTERM in epoch 1 after 5 steps: the state is saved in" in output
    # SIGKILL, which a process can't handle. A checkpoint is always due, and is checked for at every fifth step.
    killed = [JOB, str(data), str(pair), "1", "2", "7", str(int(signal.SIGKILL)), "0"]
    status, output = torchrun(killed, with_checkpoints)
    assert (status != 0, pair.exists()) == (True, False)
    assert "Going on in epoch 1 after 5 of 9 steps." in output
    assert "Saved the state in epoch 2 after 5 of 9 steps, in " in output
    status, output = torchrun([JOB, str(data), str(pair)], with_checkpoints)

    assert status == 0
    assert "Going on in epoch 2 after 5 of 9 steps." in output
    # One that runs while the interpreter ends may abort the process, and with it a job that has trained.
    assert output.count("Threads of Gloo: 0") == 2
    one, two = (json.loads(file.read_text()) for file in (alone, pair))
    assert len(one) == len(two) == 3
    for epoch_of_one, epoch_of_two in zip(one, two, strict=True):
        assert epoch_of_two == pytest.approx(epoch_of_one, abs=1e-4)


def test_hosts_that_would_train_alone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_HOSTS", '["algo-1", "algo-2"]')
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    with pytest.raises(ClassifierError, match="2 hosts, but each would train a model of its own"):
        with distributed.join():
            pass
