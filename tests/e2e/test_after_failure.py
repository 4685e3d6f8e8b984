"""What a failed test on a stack leaves is described and ended, also when the stack is down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.laptop.stack import Stack
from tests.archives import put_archive
from tests.e2e.after_failure import NOTE, describe, end_runs, stop_jobs
from tests.environments import WITHOUT_TORCH

FAILING, PAUSED = "training_in_worker", "ec2_in_worker"
SLEEP = "import time\ntime.sleep(600)\n"


def test_a_stack_that_is_down_is_described_by_its_logs(tmp_path: Path) -> None:
    stack = Stack(tmp_path, 1, 1)
    stack.paths.make()
    stack.supervision.program_log("api-server").write_text("Address already in use\n")
    text = describe(stack)
    assert "can't be reached" in text
    assert "Address already in use" in text
    assert str(stack.paths.logs) in text
    assert str(stack.paths.airflow_home / "logs") in text


def test_jobs_are_stopped_and_instances_terminated(
    start_local_aws: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    with start_local_aws(LOCAL_AWS_STOP_GRACE="2") as server:
        sagemaker, ec2 = server.client("sagemaker"), server.client("ec2")
        start_job_that_sleeps(sagemaker, server.client("s3"))
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        launched = ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)
        assert stop_jobs(server.client) == ["sleep", launched["Instances"][0]["InstanceId"]]
        eventually(lambda: not stop_jobs(server.client))
        job = sagemaker.describe_training_job(TrainingJobName="sleep")
        assert job["TrainingJobStatus"] == "Stopped"


def start_job_that_sleeps(sagemaker: Any, s3: Any) -> None:
    put_archive(s3, "s3://sleep/source.tar.gz", {"train.py": SLEEP})
    sagemaker.create_training_job(
        TrainingJobName="sleep",
        RoleArn="arn:aws:iam::123456789012:role/any",
        AlgorithmSpecification={"TrainingImage": "pytorch", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://sleep/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 1200},
        HyperParameters={
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps("s3://sleep/source.tar.gz"),
        },
        Environment=WITHOUT_TORCH,
    )


@pytest.mark.e2e
def test_the_runs_of_a_stack_are_described_and_ended(
    impatient_stack: Stack, eventually: Callable[..., Any]
) -> None:
    airflow = impatient_stack.api()
    eventually(lambda: airflow.is_parsed(FAILING) and airflow.is_parsed(PAUSED))
    airflow.ask_again("PATCH", f"dags/{PAUSED}", json={"is_paused": True})
    failed, queued = airflow.trigger(FAILING, {}), airflow.trigger(PAUSED, {})
    assert airflow.wait(FAILING, failed, 600) == "failed"
    text = describe(impatient_stack)
    assert f"{failed} of {FAILING} is failed. Its tasks: failed: wait." in text
    assert "The log of wait ends with:" in text
    assert f"{queued} of {PAUSED} is queued." in text
    end_runs(impatient_stack)
    assert airflow.unfinished_runs() == []
    ended = airflow.run(PAUSED, queued)
    assert (ended.state, ended.note) == ("failed", NOTE)
    assert failed in describe(impatient_stack)
    assert queued not in describe(impatient_stack)
    airflow.unpause(PAUSED)
