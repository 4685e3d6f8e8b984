"""Training jobs, driven as any user of boto3 drives them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

SCRIPT = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
epochs = parser.parse_args().epochs
inputs = pathlib.Path(os.environ["SM_INPUT_DIR"]) / "data"
report = {
    "files": {str(p.relative_to(inputs)): p.read_text() for p in sorted(inputs.rglob("*")) if p.is_file()},
    "epochs": epochs,
    "aws": {name: value for name, value in os.environ.items() if name.startswith("AWS_PROFILE")},
    "variable": os.environ["COLOR"],
    "folders": sorted(folder.name for folder in inputs.parents[1].iterdir()),
}
for epoch in range(epochs):
    print(f"valid_loss={1 / (epoch + 1)} valid_accuracy=nan")
pathlib.Path(os.environ["SM_MODEL_DIR"], "report.json").write_text(json.dumps(report))
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve.txt").write_text("a curve")
"""


@pytest.fixture(scope="module")
def completed(
    sagemaker: Any,
    s3: Any,
    bucket: str,
    module_name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> dict[str, Any]:
    """The description of a job that read two channels, printed metrics and wrote a model."""
    for key in ("images/a.txt", "images/deep/b.txt", "images-of-others/c.txt"):
        s3.put_object(Bucket=bucket, Key=f"{module_name}/{key}", Body=key)

    def channel(name: str, key: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{module_name}/{key}"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}}

    request = training_request(
        module_name,
        SCRIPT,
        files={"requirements.txt": "boto3"},
        HyperParameters={"epochs": "4"},
        Environment={"COLOR": "green"},
        InputDataConfig=[channel("images", "images/"), channel("one", "images/deep/b.txt")],
        Tags=[{"Key": "project", "Value": "sample"}],
    )
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "valid:loss", "Regex": "valid_loss=([0-9.]+)"},
        {"Name": "valid:accuracy", "Regex": "valid_accuracy=(\\S+)"},
    ]
    sagemaker.create_training_job(**request)
    job = ended_training_job(module_name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return job


def test_a_job_is_in_progress_once_created_and_its_name_is_taken(
    sagemaker: Any, name: str, training_request: Callable[..., dict[str, Any]]
) -> None:
    request = training_request(name, "import time; time.sleep(300)")
    sagemaker.create_training_job(**request)
    assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_training_job(**request)
    sagemaker.stop_training_job(TrainingJobName=name)


def test_the_script_meets_its_channels_hyperparameters_and_environment(
    completed: dict[str, Any], read_archive: Callable[[str], dict[str, str]]
) -> None:
    model = read_archive(completed["ModelArtifacts"]["S3ModelArtifacts"])
    assert json.loads(model["report.json"]) == {
        "files": {
            "images/a.txt": "images/a.txt",
            "images/deep/b.txt": "images/deep/b.txt",
            "one/b.txt": "images/deep/b.txt",
        },
        "epochs": 4,
        "aws": {},
        "variable": "green",
        "folders": ["code", "input", "model", "output"],  # none for checkpoints, which it does not ask for
    }


def test_archives_lie_below_the_output_path(
    completed: dict[str, Any], bucket: str, read_archive: Callable[[str], dict[str, str]]
) -> None:
    name = completed["TrainingJobName"]
    output = f"s3://{bucket}/{name}/out/{name}/output"
    assert completed["ModelArtifacts"]["S3ModelArtifacts"] == f"{output}/model.tar.gz"
    assert read_archive(f"{output}/output.tar.gz") == {"curve.txt": "a curve"}


def test_a_metric_ends_with_its_last_finite_value(completed: dict[str, Any]) -> None:
    metrics = {metric["MetricName"]: metric["Value"] for metric in completed["FinalMetricDataList"]}
    assert metrics == {"valid:loss": 0.25}


def test_the_job_goes_through_the_steps_of_sagemaker(completed: dict[str, Any]) -> None:
    steps = completed["SecondaryStatusTransitions"]
    assert [s["Status"] for s in steps] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in step for step in steps[:-1])
    assert completed["SecondaryStatus"] == "Completed"


def test_the_time_from_start_to_end_is_billed(completed: dict[str, Any]) -> None:
    lasted = (completed["TrainingEndTime"] - completed["TrainingStartTime"]).total_seconds()
    assert lasted <= completed["BillableTimeInSeconds"] <= lasted + 1
    assert completed["TrainingTimeInSeconds"] == completed["BillableTimeInSeconds"]


def test_the_description_is_the_request(completed: dict[str, Any]) -> None:
    assert completed["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert completed["HyperParameters"]["epochs"] == "4"
    assert "Tags" not in completed


def test_lines_are_in_a_stream_named_after_job_and_instance(
    completed: dict[str, Any], local_aws: Any, log_lines: Callable[[str, str], list[str]]
) -> None:
    name, group = completed["TrainingJobName"], "/aws/sagemaker/TrainingJobs"
    streams = local_aws.client("logs").describe_log_streams(
        logGroupName=group, logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    assert [bool(re.fullmatch(rf"{name}/algo-1-\d+", s["logStreamName"])) for s in streams] == [True]
    assert "valid_loss=0.25 valid_accuracy=nan" in log_lines(group, f"{name}/")


def test_jobs_are_listed_by_name_and_status(sagemaker: Any, completed: dict[str, Any]) -> None:
    name = completed["TrainingJobName"]

    def names(**filters: str) -> list[str]:
        summaries = sagemaker.list_training_jobs(NameContains=name, **filters)["TrainingJobSummaries"]
        return [summary["TrainingJobName"] for summary in summaries]

    assert names() == [name]
    assert names(StatusEquals="Completed") == [name]
    assert names(StatusEquals="Failed") == []


def test_a_listing_comes_in_pages(
    sagemaker: Any, completed: dict[str, Any], name: str, training_request: Callable[..., dict[str, Any]]
) -> None:
    sagemaker.create_training_job(**training_request(name, "pass"))
    pages = list(sagemaker.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 1}))
    listed = [summary["TrainingJobName"] for page in pages for summary in page["TrainingJobSummaries"]]
    assert len(pages) == len(listed) == len(set(listed)) > 1


def test_an_ended_job_cannot_be_stopped(sagemaker: Any, completed: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*is in status Completed"):
        sagemaker.stop_training_job(TrainingJobName=completed["TrainingJobName"])


def test_nothing_of_an_ended_job_stays_on_disk(local_aws: Any, completed: dict[str, Any]) -> None:
    assert not list(local_aws.state_dir.glob(f"*/training/{completed['TrainingJobName']}"))


def test_a_missing_job_is_a_validation_exception(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="none")


def test_the_failure_of_a_script_is_the_reason(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> None:
    sagemaker.create_training_job(**training_request(name, "raise ValueError('no such breed')"))
    job = ended_training_job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert "no such breed" in job["FailureReason"]


@pytest.mark.parametrize("uri", ["s3://sagemaker-tests/nothing/", "s3://no-such-bucket/images/"])
def test_a_channel_without_objects_is_refused_at_the_call(
    sagemaker: Any, name: str, training_request: Callable[..., dict[str, Any]], uri: str
) -> None:
    channel = {
        "ChannelName": "images",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
    }
    with pytest.raises(ClientError, match=f'No S3 objects found under S3 URL "{uri}"'):
        sagemaker.create_training_job(**training_request(name, "pass", InputDataConfig=[channel]))
    assert sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"] == []


def test_a_stopped_job_is_not_told_and_still_uploads_its_model(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
    log_lines: Callable[[str, str], list[str]],
    read_archive: Callable[[str], dict[str, str]],
) -> None:
    script = (
        "import os, pathlib, signal, time\n"
        "model = pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.txt')\n"
        "model.write_text('half trained')\n"
        "signal.signal(signal.SIGTERM, lambda *_: (model.write_text('told'), os._exit(0)))\n"
        "print('waiting', flush=True)\n"
        "while True: time.sleep(0.1)\n"
    )
    sagemaker.create_training_job(**training_request(name, script))
    eventually(lambda: "waiting" in _lines(log_lines, name))
    sagemaker.stop_training_job(TrainingJobName=name)
    job = ended_training_job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert read_archive(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.txt": "half trained"}


def test_a_job_is_stopped_at_its_maximum_runtime(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> None:
    request = training_request(
        name, "import time; time.sleep(300)", StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    sagemaker.create_training_job(**request)
    job = ended_training_job(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_checkpoints_come_from_s3_and_go_back(
    sagemaker: Any,
    s3: Any,
    bucket: str,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> None:
    s3.put_object(Bucket=bucket, Key=f"{name}/checkpoints/epoch.txt", Body="3")
    script = (
        "import pathlib, sys\n"
        "epoch = pathlib.Path(sys.argv[sys.argv.index('--checkpoints') + 1], 'epoch.txt')\n"
        "epoch.write_text(str(int(epoch.read_text()) + 1))\n"
    )
    request = training_request(
        name,
        script,
        HyperParameters={"checkpoints": "/opt/ml/checkpoints"},
        CheckpointConfig={"S3Uri": f"s3://{bucket}/{name}/checkpoints"},
    )
    sagemaker.create_training_job(**request)
    assert ended_training_job(name)["TrainingJobStatus"] == "Completed"
    stored = s3.get_object(Bucket=bucket, Key=f"{name}/checkpoints/epoch.txt")
    assert stored["Body"].read() == b"4"


def test_a_requirement_that_is_not_installed_fails_the_job(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    log_lines: Callable[[str, str], list[str]],
) -> None:
    request = training_request(name, "pass", files={"requirements.txt": "a-package-nobody-has==1.0"})
    sagemaker.create_training_job(**request)
    assert "InstallRequirementsError" in ended_training_job(name)["FailureReason"]
    assert any("No matching distribution found for a-package" in line for line in _lines(log_lines, name))


def test_requirements_that_are_installed_need_no_network(
    completed: dict[str, Any], log_lines: Callable[[str, str], list[str]]
) -> None:
    lines = _lines(log_lines, completed["TrainingJobName"])
    assert any(line.startswith("Requirement already satisfied: boto3") for line in lines)


def test_two_instances_train_together_with_torchrun(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    log_lines: Callable[[str, str], list[str]],
) -> None:
    script = (
        "import os, torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "total = torch.tensor([float(dist.get_rank() + 1)])\n"
        "dist.all_reduce(total)\n"
        "host, world = os.environ['SM_CURRENT_HOST'], dist.get_world_size()\n"
        "print(f'host {host} of {world} sums to {total.item():.0f}', flush=True)\n"
        "dist.destroy_process_group()\n"
    )
    request = training_request(
        name,
        script,
        torch=True,
        HyperParameters={
            "sagemaker_torch_distributed_enabled": "true",
            "sagemaker_distribution_instance_groups": json.dumps(["homogeneousCluster"]),
        },
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5},
    )
    sagemaker.create_training_job(**request)
    job = ended_training_job(name)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    lines = [line for line in _lines(log_lines, name) if line.startswith("host")]
    assert sorted(lines) == ["host 127.0.0.1 of 2 sums to 3", "host 127.0.0.2 of 2 sums to 3"]


def test_the_other_instances_of_a_failed_one_are_ended(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> None:
    script = (
        "import os, time\n"
        "if os.environ['SM_CURRENT_HOST'] == '127.0.0.1': time.sleep(300)\n"
        "raise SystemExit(3)\n"
    )
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
    sagemaker.create_training_job(**training_request(name, script, ResourceConfig=resources))
    assert ended_training_job(name)["TrainingJobStatus"] == "Failed"


def _lines(log_lines: Callable[[str, str], list[str]], job: str) -> list[str]:
    try:
        return log_lines("/aws/sagemaker/TrainingJobs", f"{job}/")
    except ClientError:  # the group is made with the first stream
        return []
