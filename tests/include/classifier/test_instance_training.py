"""What runs on an EC2 instance, with a script in place of train.py and S3 of local AWS."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

CLASSIFIER = Path(__file__).parents[3] / "include" / "classifier"
BUCKET = "instance-training"
LAUNCHED = datetime.now(UTC) - timedelta(minutes=10)
SHOW = """
import json, os, pathlib, sys
seen = {name: value for name, value in os.environ.items() if name.startswith("SM_") or name == "GIVEN"}
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json").write_text(json.dumps([seen, sys.argv[1:]]))
image = pathlib.Path(os.environ["SM_CHANNEL_TRAINING"], "train", "one.jpg").read_text()
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.safetensors").write_text(f"learnt {image}")
print("best:loss=0.5")
print("best:loss=nan")
print("best:loss=0.25 after 3 epochs")
"""
FAIL = """
import sys
print("KeyError: an earlier one, which was handled")
sys.exit("ValueError: There is no image of 002.Green.")
"""
CHECKPOINT = """
import os, pathlib, signal, sys
folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
before = folder / "checkpoint.safetensors"
if before.exists():
    print(f"goes on from {before.read_text()}")
    pathlib.Path(os.environ["SM_MODEL_DIR"], "model.safetensors").write_text("done")
    sys.exit()
def save(*_):
    before.write_text("epoch 3")
    (folder / "checkpoint.safetensors.partial").write_text("not whole")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("ready")
signal.pause()
"""


class Instance:
    """A folder with the code that is shipped, and what S3 has for it and from it."""

    def __init__(self, folder: Path, local_aws: Any) -> None:
        self.folder = folder
        self.s3 = local_aws.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.name = f"birds-train-{uuid.uuid4().hex[:12]}"
        self.environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": local_aws.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "INSTANCE_ID": "i-0123",
            "INSTANCE_LAUNCH_TIME": LAUNCHED.isoformat(),
        }
        for path in ("train/one.jpg", "valid/two.jpg"):
            self.s3.put_object(Bucket=BUCKET, Key=f"{self.name}/data/{path}", Body=b"one")

    @property
    def job(self) -> dict[str, Any]:
        place = f"s3://{BUCKET}/{self.name}"
        return {
            "TrainingJobName": self.name,
            "HyperParameters": {
                "sagemaker_program": '"train.py"',
                "learning_rate": "0.01",
                "batch_size": '"32"',
                "train_layers": '"head"',
                "plain": "text",
            },
            "AlgorithmSpecification": {
                "MetricDefinitions": [{"Name": "best:loss", "Regex": r"\bbest:loss=([0-9.a-z]+)"}]
            },
            "InputDataConfig": [
                {
                    "ChannelName": "training",
                    "DataSource": {"S3DataSource": {"S3Uri": f"{place}/data/"}},
                }
            ],
            "OutputDataConfig": {"S3OutputPath": f"{place}/training"},
            "CheckpointConfig": {"S3Uri": f"{place}/checkpoints"},
            "ResourceConfig": {"InstanceType": "g4dn.xlarge", "InstanceCount": 1},
            "Environment": {"GIVEN": "this"},
        }

    def start(self, script: str, job: dict[str, Any] | None = None) -> subprocess.Popen[str]:
        """Start it on a fresh instance."""
        shutil.rmtree(self.folder, ignore_errors=True)
        code = self.folder / "code"
        code.mkdir(parents=True)
        shutil.copy(CLASSIFIER / "instance_training.py", code)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CLASSIFIER / "image_classifier", code / "image_classifier", ignore=ignored)
        (code / "train.py").write_text(script)
        return subprocess.Popen(
            [sys.executable, "code/instance_training.py", json.dumps(job or self.job)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, job: dict[str, Any] | None = None) -> tuple[int, str]:
        process = self.start(script, job)
        printed, _ = process.communicate()
        return process.returncode, printed

    def keys(self, folder: str) -> list[str]:
        prefix = f"{self.name}/{folder}/"
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"].removeprefix(prefix) for item in found]

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=f"{self.name}/{key}")["Body"].read()

    @property
    def record(self) -> dict[str, Any]:
        return json.loads(self.read(f"training/{self.name}/record.json"))

    def archive(self, name: str) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(self.read(f"training/{self.name}/output/{name}.tar.gz")))


@pytest.fixture
def instance(tmp_path: Path, local_aws: Any) -> Instance:
    return Instance(tmp_path / "instance", local_aws)


def test_it_leaves_what_a_training_job_leaves(instance: Instance) -> None:
    status, printed = instance.run(SHOW)
    assert status == 0, printed
    assert "best:loss=0.5" in printed
    assert sorted(instance.keys(f"training/{instance.name}")) == [
        "output/model.tar.gz",
        "output/output.tar.gz",
        "record.json",
    ]
    with instance.archive("model") as model:
        assert model.extractfile("model.safetensors").read() == b"learnt one"  # type: ignore[union-attr]
    record = instance.record
    assert {key: record[key] for key in instance.job} == instance.job
    assert record["TrainingJobStatus"] == "Completed"
    assert record["InstanceId"] == "i-0123"
    assert record["ModelArtifacts"] == {
        "S3ModelArtifacts": f"s3://{BUCKET}/{instance.name}/training/{instance.name}/output/model.tar.gz"
    }
    ((metric),) = record["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("best:loss", 0.25)
    started, ended = (datetime.fromisoformat(record[f"Training{when}Time"]) for when in ("Start", "End"))
    assert LAUNCHED < started < ended
    assert record["TrainingTimeInSeconds"] == pytest.approx((ended - started).total_seconds(), abs=1)
    assert record["BillableTimeInSeconds"] == pytest.approx((ended - LAUNCHED).total_seconds(), abs=1)


def test_the_script_sees_what_sagemakers_toolkit_shows_it(instance: Instance) -> None:
    instance.run(SHOW)
    with instance.archive("output") as output:
        seen, arguments = json.load(output.extractfile("seen.json"))  # type: ignore[arg-type]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options == {
        "--learning_rate": "0.01",
        "--batch_size": "32",
        "--train_layers": "head",
        "--plain": "text",
    }
    assert seen["GIVEN"] == "this"
    assert seen["SM_CHANNEL_TRAINING"].endswith("/input/data/training")
    assert (seen["SM_HOSTS"], seen["SM_CURRENT_HOST"], seen["SM_NUM_GPUS"]) == ('["algo-1"]', "algo-1", "0")


def test_a_script_that_fails_leaves_its_reason_and_no_model(instance: Instance) -> None:
    status, printed = instance.run(FAIL)
    assert status == 1, printed
    assert instance.keys(f"training/{instance.name}") == ["record.json"]
    assert instance.record["TrainingJobStatus"] == "Failed"
    assert instance.record["FailureReason"] == (
        "AlgorithmError: ValueError: There is no image of 002.Green., exit code: 1"
    )


def test_an_interrupted_training_leaves_its_checkpoint_and_the_next_one_goes_on_from_it(
    instance: Instance,
) -> None:
    process = instance.start(CHECKPOINT)
    assert process.stdout is not None
    while "ready" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate()
    assert process.returncode == 143, printed
    assert instance.keys(f"training/{instance.name}") == []
    assert instance.keys("checkpoints") == ["checkpoint.safetensors"]
    status, printed = instance.run(CHECKPOINT)
    assert status == 0
    assert "goes on from epoch 3" in printed


def test_a_channel_without_objects_is_no_failure_of_the_script(instance: Instance) -> None:
    job = instance.job
    job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] += "nothing/"
    status, printed = instance.run(SHOW, job)
    assert status != 0
    assert "There is no object below s3://" in printed
    assert instance.keys(f"training/{instance.name}") == []


@pytest.fixture
def two_gpus(instance: Instance, tmp_path: Path) -> Callable[[], None]:
    """Puts a program on the instance that says there are two."""

    def install() -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho 'GPU 0: T4 (UUID: 1)'\necho 'GPU 1: T4 (UUID: 2)'\n")
        program.chmod(0o755)
        instance.environment["PATH"] = f"{program.parent}:{instance.environment['PATH']}"

    return install


def test_each_gpu_gets_a_process(instance: Instance, two_gpus: Callable[[], None]) -> None:
    two_gpus()
    # Written at once: both processes write to the same pipe.
    status, printed = instance.run(
        "import os; os.write(1, b'rank %s %s\\n' % (os.environb[b'RANK'], os.environb[b'SM_NUM_GPUS']))"
    )
    assert status == 0, printed
    assert {line for line in printed.splitlines() if line.startswith("rank")} == {"rank 0 2", "rank 1 2"}


def test_the_reason_is_the_scripts_own_and_not_torchruns(
    instance: Instance, two_gpus: Callable[[], None]
) -> None:
    two_gpus()
    instance.run(FAIL)
    assert "AlgorithmError: ValueError: There is no image of 002.Green." in instance.record["FailureReason"]
