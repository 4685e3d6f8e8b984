"""Checkpoints: copied to S3 while a job runs and at its end, and never deleted there."""

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

SCRIPT = """
import os, pathlib, signal, time
folder = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints")
signal.signal(signal.SIGTERM, lambda *_: (folder / "deep" / "epoch.txt").write_text("by a signal"))
(folder / "start.txt").unlink()
(folder / "deep").mkdir()
(folder / "deep" / "epoch.txt").write_text("1")
while True:
    time.sleep(0.02)
    (folder / "deep" / "step.txt").write_text(str(time.time()))
"""


def test_checkpoints_are_copied_while_a_job_runs_and_a_stopped_one_trains_on_untold(
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
    stopped = time.time()
    sagemaker.stop_training_job(TrainingJobName=name)
    assert ended_training_job(name)["TrainingJobStatus"] == "Stopped"
    assert stored("deep/epoch.txt") == "1"
    last_step = stored("deep/step.txt")
    assert last_step
    assert float(last_step) > stopped + 1  # two minutes of AWS's are two seconds here
    assert stored("start.txt") == "0"
