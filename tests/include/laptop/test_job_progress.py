"""The progress of jobs, from responses of SageMaker and CloudWatch Logs that botocore has validated."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from include.laptop.infrastructure import client
from include.laptop.job_progress import JobProgress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:job/one"


class Aws:
    """Clients that return prepared responses, in this order."""

    def __init__(self) -> None:
        self.clients = {name: client(name, "http://127.0.0.1:1") for name in ("sagemaker", "logs")}
        self.stubs = {name: Stubber(each) for name, each in self.clients.items()}

    def answer(self, service: str, operation: str, answer: dict[str, Any], **expected: Any) -> None:
        self.stubs[service].add_response(operation, answer, expected or None)

    def log(self, job: str, *lines: str) -> None:
        stream = f"{job}/algo-1"
        expected = {"logGroupName": ANY, "logStreamNamePrefix": f"{job}/"}
        self.answer("logs", "describe_log_streams", {"logStreams": [{"logStreamName": stream}]}, **expected)
        self.answer("logs", "get_log_events", {"events": [{"message": line} for line in lines]})

    def of(self, step: str) -> dict[str, str]:
        for stub in self.stubs.values():
            stub.activate()
        found = JobProgress("sample", self.clients.__getitem__).of([step])
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()
        return found


@pytest.fixture
def aws() -> Aws:
    return Aws()


def summary(kind: str, name: str) -> dict[str, Any]:
    times = {"CreationTime": NOW, "LastModifiedTime": NOW}
    extra = {"HyperParameterTuningJob": {"Strategy": "Bayesian", **COUNTERS}}.get(kind, {})
    item = {f"{kind}Name": name, f"{kind}Arn": ARN, f"{kind}Status": "InProgress", **times, **extra}
    return {f"{kind}Summaries": [item]}


COUNTERS: dict[str, Any] = {
    "TrainingJobStatusCounters": {"Completed": 1, "Stopped": 1, "InProgress": 1},
    "ObjectiveStatusCounters": {"Succeeded": 1, "Pending": 1, "Failed": 0},
}


def test_progress_of_a_training(aws: Aws) -> None:
    aws.answer("sagemaker", "list_training_jobs", summary("TrainingJob", "sample-train-1"))
    job = {"TrainingJobName": "sample-train-1", "TrainingJobArn": ARN, "HyperParameters": {"epochs": "10"}}
    job |= {"ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model"}, "TrainingJobStatus": "InProgress"}
    job |= {"SecondaryStatus": "Training", "CreationTime": NOW, "ResourceConfig": {"VolumeSizeInGB": 1}}
    job |= {"StoppingCondition": {}, "AlgorithmSpecification": {"TrainingInputMode": "File"}}
    aws.answer("sagemaker", "describe_training_job", job, TrainingJobName="sample-train-1")
    aws.log(
        "sample-train-1",
        "epoch=3 validation:accuracy=0.800000",
        "epoch=4 train:loss=0.1",
        "epoch=4 validation:accuracy=0.933333",
    )
    assert aws.of("train") == {"train": "epoch 4 of 10, validation accuracy 0.933"}


def test_progress_of_a_tuning(aws: Aws) -> None:
    name, kind = "sample-tune-1", "HyperParameterTuningJob"
    aws.answer("sagemaker", "list_hyper_parameter_tuning_jobs", summary(kind, name))
    limits = {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 1}
    job = {f"{kind}Name": name, f"{kind}Arn": ARN, f"{kind}Status": "InProgress", "CreationTime": NOW}
    job |= {f"{kind}Config": {"Strategy": "Bayesian", "ResourceLimits": limits}, **COUNTERS}
    aws.answer("sagemaker", "describe_hyper_parameter_tuning_job", job)
    assert aws.of("tune") == {"tune": "2 of 8 trials done"}


def test_progress_of_a_feature_extraction(aws: Aws) -> None:
    aws.answer("sagemaker", "list_processing_jobs", summary("ProcessingJob", "sample-features-1"))
    aws.log("sample-features-1", "train: 100 of 300 images, 20 images/s, 10 s left")
    assert aws.of("features") == {"features": "100 of 300 images, 20 images/s, 10 s left"}


def test_job_that_has_not_started_has_no_progress(aws: Aws) -> None:
    aws.answer("sagemaker", "list_training_jobs", {"TrainingJobSummaries": []})
    assert aws.of("train") == {}


def test_progress_that_can_not_be_read_is_omitted(aws: Aws) -> None:
    aws.stubs["sagemaker"].add_client_error("list_training_jobs", "ThrottlingException")
    assert aws.of("train") == {}


def test_step_without_a_job_has_no_progress(aws: Aws) -> None:
    assert aws.of("preflight") == {}
