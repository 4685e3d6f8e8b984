"""Managed spot training: what is refused, and a job that is interrupted and goes on from its checkpoint."""

import math
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.local_aws.sagemaker.training import SPOT_PRICE_SHARE

# The first attempt saves by itself and waits to be interrupted, untold; the second finds what was saved.
SCRIPT = """
import os, pathlib, signal, time
checkpoint = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints", "epoch.txt")
if checkpoint.exists():
    print(f"resumed={checkpoint.read_text()}", flush=True)
else:
    signal.signal(signal.SIGTERM, lambda *_: checkpoint.write_text("8"))
    checkpoint.write_text("7")
    print("first=1", flush=True)
    while True: time.sleep(0.1)
"""
SPOT = {"EnableManagedSpotTraining": True}


@pytest.fixture(scope="module")
def interrupt(local_aws: Any) -> Callable[[str], int]:
    """Ask local AWS to take a job's instances away; returns the HTTP status."""

    def post(name: str) -> int:
        url = f"{local_aws.url}/_local_aws/training-jobs/{name}/interrupt"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    return post


@pytest.fixture(scope="module")
def interrupted(
    sagemaker: Any,
    bucket: str,
    module_name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
    log_lines: Callable[[str, str], list[str]],
    interrupt: Callable[[str], int],
) -> dict[str, Any]:
    """The description of a spot job at its end, which was interrupted once."""
    request = training_request(
        module_name,
        SCRIPT,
        **SPOT,
        StoppingCondition={"MaxRuntimeInSeconds": 200, "MaxWaitTimeInSeconds": 300},
        CheckpointConfig={"S3Uri": f"s3://{bucket}/{module_name}/checkpoints"},
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "resumed", "Regex": "resumed=([0-9]+)"}
    ]
    sagemaker.create_training_job(**request)

    def waits() -> bool:
        try:
            return "first=1" in log_lines("/aws/sagemaker/TrainingJobs", f"{module_name}/")
        except ClientError:  # the group is made with the first stream
            return False

    eventually(waits)
    assert interrupt(module_name) == 200
    job = ended_training_job(module_name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


def test_an_interrupted_job_goes_on_from_its_checkpoint(interrupted: dict[str, Any]) -> None:
    assert [(metric["MetricName"], metric["Value"]) for metric in interrupted["FinalMetricDataList"]] == [
        ("resumed", 7.0)
    ]


def test_an_interruption_is_among_the_steps(interrupted: dict[str, Any]) -> None:
    start = ["Starting", "Downloading", "Training"]
    assert [step["Status"] for step in interrupted["SecondaryStatusTransitions"]] == [
        *start,
        "Interrupted",
        *start,
        "Uploading",
        "Completed",
    ]


def test_a_spot_job_is_billed_a_share_of_the_time_it_ran(interrupted: dict[str, Any]) -> None:
    training = [step for step in interrupted["SecondaryStatusTransitions"] if step["Status"] == "Training"]
    ran = sum((step["EndTime"] - step["StartTime"]).total_seconds() for step in training)
    # The processes started within these steps, and their time is rounded up.
    assert 1 <= interrupted["BillableTimeInSeconds"] <= math.ceil(ran * SPOT_PRICE_SHARE)
    assert interrupted["BillableTimeInSeconds"] < interrupted["TrainingTimeInSeconds"]


def test_only_a_spot_job_that_is_training_can_be_interrupted(
    interrupted: dict[str, Any],
    interrupt: Callable[[str], int],
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
) -> None:
    assert interrupt(interrupted["TrainingJobName"]) == 400
    assert interrupt("none-of-that-name") == 400
    sagemaker.create_training_job(**training_request(name, "import time; time.sleep(300)"))
    assert interrupt(name) == 400
    sagemaker.stop_training_job(TrainingJobName=name)


def test_a_spot_job_ends_when_it_has_waited_for_too_long(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> None:
    # Waiting counts from the request, running from the start of the processes, so that its end comes first.
    limits = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}
    sagemaker.create_training_job(
        **training_request(name, "import time; time.sleep(300)", **SPOT, StoppingCondition=limits)
    )
    job = ended_training_job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        pytest.param(
            {**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 60}},
            "MaxWaitTimeInSeconds is missing",
            id="no maximum wait",
        ),
        pytest.param(
            {**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}},
            "equal to or greater than MaxRuntimeInSeconds, 60",
            id="wait shorter than runtime",
        ),
        pytest.param(
            {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
            "only supported when EnableManagedSpotTraining is set to true",
            id="wait without spot",
        ),
        pytest.param(
            {
                **SPOT,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 5,
                    "KeepAlivePeriodInSeconds": 60,
                },
            },
            "cannot be used with managed spot training",
            id="with a warm pool",
        ),
        pytest.param(
            {
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 5,
                    "KeepAlivePeriodInSeconds": 3601,
                }
            },
            "0 to 3600",
            id="a warm pool for more than an hour",
        ),
        pytest.param(
            {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/tmp/checkpoints"}},
            "must lie below /opt/ml",
            id="checkpoints elsewhere",
        ),
    ],
)
def test_requests_that_contradict_themselves_are_refused(
    sagemaker: Any,
    name: str,
    members: dict[str, Any],
    sentence: str,
    training_request: Callable[..., dict[str, Any]],
) -> None:
    with pytest.raises(ClientError, match=f"ValidationException.*{sentence}"):
        sagemaker.create_training_job(**training_request(name, "pass", **members))
