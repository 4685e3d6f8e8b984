"""Checkpoints: copied to S3 while a job runs and at its end, and never deleted there."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

SCRIPT = """
import os, pathlib, signal, time
folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
def save(*_):
    (folder / "deep" / "epoch.txt").write_text("2")
    os._exit(0)
signal.signal(signal.SIGTERM, save)
(folder / "start.txt").unlink()
(folder / "deep").mkdir()
(folder / "deep" / "epoch.txt").write_text("1")
while True: time.sleep(0.1)
"""


def test_checkpoints_are_copied_while_a_job_runs_and_when_it_is_stopped(
    sagemaker: Any,
    s3: Any,
    bucket: str,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
) -> None:
    def stored(key: str) -> str | None:
        try:
            return s3.get_object(Bucket=bucket, Key=f"{name}/checkpoints/{key}")["Body"].read().decode()
        except ClientError:
            return None

    s3.put_object(Bucket=bucket, Key=f"{name}/checkpoints/start.txt", Body="0")
    configuration = {"S3Uri": f"s3://{bucket}/{name}/checkpoints"}
    sagemaker.create_training_job(**training_request(name, SCRIPT, CheckpointConfig=configuration))
    eventually(lambda: stored("deep/epoch.txt") == "1")
    assert sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
    sagemaker.stop_training_job(TrainingJobName=name)
    assert ended_training_job(name)["TrainingJobStatus"] == "Stopped"
    assert stored("deep/epoch.txt") == "2"
    assert stored("start.txt") == "0"
