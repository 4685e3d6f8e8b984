"""Checkpoints: copied to S3 while a job runs and at its end, and never deleted there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.local_aws.config import Config
from include.local_aws.principals import Principal
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker.checkpoints import kept_in_s3
from include.local_aws.sagemaker.documents import TRAINING_JOB, Documents
from include.local_aws.sagemaker.training import TrainingJobs
from include.local_aws.sagemaker.training_instance import checkpoint_folder

SCRIPT = """
import os, pathlib, signal, time
folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
(folder / "start.txt").unlink()
(folder / "deep").mkdir()
(folder / "deep" / "epoch.txt").write_text("1")
while not os.path.exists({gate!r}):
    time.sleep(0.02)
    (folder / "deep" / "step.partial").write_text("any")
    (folder / "deep" / "step.partial").rename(folder / "deep" / "step.txt")
(folder / "deep" / "epoch.txt").write_text("2")
"""


def test_checkpoints_are_copied_while_a_job_runs_and_a_stopped_one_trains_on_untold(
    local_aws: Any,
    s3: Any,
    bucket: str,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    def stored(key: str) -> str | None:
        try:
            return s3.get_object(Bucket=bucket, Key=f"{name}/checkpoints/{key}")["Body"].read().decode()
        except ClientError:
            return None

    s3.put_object(Bucket=bucket, Key=f"{name}/checkpoints/start.txt", Body="0")
    # In AWS's own time, the job has two minutes to see the file that ends it.
    config = Config(state_dir=tmp_path, port=int(local_aws.url.rpartition(":")[2]), time_scale=1)
    children, documents, gate = ChildProcesses(), Documents(config), tmp_path / "gate"
    jobs = TrainingJobs(config, children, documents)
    request = training_request(
        name,
        SCRIPT.format(gate=str(gate)),
        CheckpointConfig={"S3Uri": f"s3://{bucket}/{name}/checkpoints"},
    )

    def status() -> tuple[str, str]:
        job = documents.get(TRAINING_JOB, name)
        return job["TrainingJobStatus"], job["SecondaryStatus"]

    jobs.create(request)
    eventually(lambda: stored("deep/epoch.txt") == "1")
    assert status() == ("InProgress", "Training")
    jobs.stop(request)
    assert status()[0] == "Stopping"
    gate.touch()
    eventually(lambda: status() == ("Stopped", "Stopped"))
    assert (stored("deep/epoch.txt"), stored("deep/step.txt")) == ("2", "any")
    assert stored("start.txt") == "0"
    children.stop_all()


def test_a_checkpoint_that_shrinks_while_it_is_sent_arrives_as_it_was(
    local_aws: Any, bucket: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = Config(
        state_dir=local_aws.state_dir,
        port=int(local_aws.url.rpartition(":")[2]),
        checkpoint_sync_seconds=3600,  # once, at the end
    )
    job = {"CheckpointConfig": {"S3Uri": f"s3://{bucket}/{name}"}}
    file = checkpoint_folder(job, tmp_path) / "epoch.txt"
    s3 = config.client("s3", Principal.JOB)

    def shrink(**_: Any) -> None:
        file.write_text("")

    s3.meta.events.register("before-send.s3.PutObject", shrink)
    request.addfinalizer(lambda: s3.meta.events.unregister("before-send.s3.PutObject", shrink))
    with kept_in_s3(config, job, [tmp_path]):
        file.write_text("whole")
    assert file.read_text() == ""
    assert s3.get_object(Bucket=bucket, Key=f"{name}/epoch.txt")["Body"].read() == b"whole"
