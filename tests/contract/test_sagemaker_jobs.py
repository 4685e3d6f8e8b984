"""What SageMaker answers about training, processing and tuning jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.sagemaker import SageMakerThings

row = pytest.mark.row
TUNING = "hyper_parameter_tuning_job"
KEYS = {"training_job": "TrainingJobName", "processing_job": "ProcessingJobName"}
KEYS[TUNING] = "HyperParameterTuningJobName"


@pytest.fixture
def sagemaker(client: Callable[[str], Any]) -> Any:
    return client("sagemaker")


@row("SM1")
@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("describe_training_job", {}),
        ("stop_training_job", {}),
        ("update_training_job", {"ResourceConfig": {"KeepAlivePeriodInSeconds": 0}}),
    ],
)
def test_an_unknown_training_job(
    sagemaker: Any, refused: Any, unique: str, operation: str, members: dict[str, Any]
) -> None:
    with refused("ValidationException", "Requested resource not found."):
        getattr(sagemaker, operation)(TrainingJobName=unique, **members)


@row("SM2")
def test_an_unknown_processing_job(sagemaker: Any, refused: Any, unique: str) -> None:
    with refused("ValidationException", f"Could not find requested job with name: {unique}"):
        sagemaker.describe_processing_job(ProcessingJobName=unique)


@row("SM3")
def test_an_unknown_processing_job_can_not_be_stopped(sagemaker: Any, refused: Any, unique: str) -> None:
    with refused("ValidationException", f"Could not find job to update with name {unique}"):
        sagemaker.stop_processing_job(ProcessingJobName=unique)


@row("SM4")
@pytest.mark.parametrize(
    "operation",
    [
        "describe_hyper_parameter_tuning_job",
        "stop_hyper_parameter_tuning_job",
        "list_training_jobs_for_hyper_parameter_tuning_job",
    ],
)
def test_an_unknown_tuning_job(sagemaker: Any, refused: Any, unique: str, operation: str) -> None:
    name = unique[:32]
    sentence = f"Amazon SageMaker can't find a tuning job called {name}. Type another name."
    with refused("ResourceNotFound", sentence):
        getattr(sagemaker, operation)(HyperParameterTuningJobName=name)


@row("SM5")
def test_a_training_job_whose_name_is_taken(things: SageMakerThings, refused: Any) -> None:
    sentence = "Training job names must be unique within an AWS account and region, and a training job with this name"
    with refused("ResourceInUse", sentence) as caught:
        things.sagemaker.create_training_job(**things.training_job(things.name))
    assert str(caught.value).endswith(f"already exists ({things.training()['TrainingJobArn']})")


@row("SM6")
def test_a_processing_job_whose_name_is_taken(things: SageMakerThings, refused: Any) -> None:
    sentence = (
        "Job name must be unique within an AWS account and region, and a job with this name already exists ("
    )
    with refused("ResourceInUse", sentence):
        things.sagemaker.create_processing_job(**things.processing_job(things.name))


@row("SM6")
def test_a_tuning_job_whose_name_is_taken(things: SageMakerThings, refused: Any) -> None:
    sentence = (
        f"A hyperparameter tuning job with the name, {things.name}, already exists. Choose a different name."
    )
    with refused("ResourceInUse", sentence):
        things.sagemaker.create_hyper_parameter_tuning_job(**things.tuning_job(things.name))


@row("SM7")
@pytest.mark.makes("a training job, if AWS does not refuse it", 0.02)
def test_a_training_job_whose_channel_has_no_objects(
    things: SageMakerThings, refused: Any, unique: str
) -> None:
    request = things.training_job(unique)
    uri = things.without_objects(request)
    region = things.sagemaker.meta.region_name
    with refused(
        "ValidationException",
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists '
        f"in the selected region ({region}), that objects exist under that S3 prefix, and that the role "
        f'"{things.setting.role}" has "s3:ListBucket" permissions on bucket "{things.bucket}".',
    ):
        things.sagemaker.create_training_job(**request)


@row("SM7")
@pytest.mark.makes("a tuning job, if AWS does not refuse it", 0.02)
def test_a_tuning_job_whose_channel_has_no_objects(
    things: SageMakerThings, refused: Any, unique: str
) -> None:
    request = things.tuning_job(unique[:32])
    uri = things.without_objects(request["TrainingJobDefinition"])
    with refused(
        "ValidationException", f'No S3 objects found under S3 URL "{uri}" given in input data source.'
    ):
        things.sagemaker.create_hyper_parameter_tuning_job(**request)


@row("SM7")
@pytest.mark.makes("a tuning job, if AWS does not refuse it", 0.02)
def test_a_tuning_job_whose_objective_is_no_metric(
    things: SageMakerThings, refused: Any, unique: str
) -> None:
    request = things.tuning_job(unique[:32])
    request["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = []
    with refused("ValidationException", "A metric is required for this hyperparameter tuning job objective."):
        things.sagemaker.create_hyper_parameter_tuning_job(**request)


@row("SM7")
@pytest.mark.makes("a processing job, if AWS does not refuse it", 0.02)
@pytest.mark.parametrize("missing", ["InstanceType", "InstanceCount"])
def test_a_processing_job_needs_an_instance_type_and_a_count(
    things: SageMakerThings, refused: Any, unique: str, missing: str
) -> None:
    request = things.processing_job(unique)
    cluster = dict(request["ProcessingResources"]["ClusterConfig"])
    del cluster[missing]
    with refused("ValidationException"):
        things.sagemaker.create_processing_job(
            **request | {"ProcessingResources": {"ClusterConfig": cluster}}
        )


@row("SM8")
def test_a_training_job_that_has_ended_can_not_be_stopped(things: SageMakerThings, refused: Any) -> None:
    sentence = "The request was rejected because the training job is in status Completed."
    with refused("ValidationException", sentence):
        things.sagemaker.stop_training_job(TrainingJobName=things.name)


@row("SM9")
def test_a_tuning_job_that_has_ended_can_not_be_stopped(things: SageMakerThings, refused: Any) -> None:
    with refused("ValidationException"):
        things.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=things.name)


@row("SM10")
def test_the_name_of_a_deleted_job_can_be_given_again(
    things: SageMakerThings, refused: Any, unique: str
) -> None:
    sagemaker = things.sagemaker
    for _ in range(2):
        sagemaker.create_processing_job(**things.processing_job(unique))
        with refused("ResourceInUse"):
            sagemaker.delete_processing_job(ProcessingJobName=unique)
        things.eventually(
            lambda: (
                sagemaker.describe_processing_job(ProcessingJobName=unique)["ProcessingJobStatus"] == "Failed"
            )
        )
        sagemaker.delete_processing_job(ProcessingJobName=unique)
    with refused("ValidationException", "Could not find requested job"):
        sagemaker.describe_processing_job(ProcessingJobName=unique)


@row("SM11")
def test_the_statuses_of_a_training_job_come_in_their_order(things: SageMakerThings) -> None:
    job = things.training()
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    order = [
        *("Starting", "Pending", "LaunchingMLInstances", "PreparingTrainingStack", "Downloading"),
        *("DownloadingTrainingImage", "Training", "Uploading", "Completed"),
    ]
    assert steps == [status for status in order if status in steps]
    assert {"Starting", "Downloading", "Training", "Uploading", "Completed"} <= set(steps)
    assert job["SecondaryStatus"] == "Completed"


@row("SM12")
def test_the_reason_of_a_failure_is_short_and_says_whose_fault_it_is(things: SageMakerThings) -> None:
    reason = things.processing()["FailureReason"]
    assert reason.startswith("AlgorithmError")
    assert len(reason) <= 1024


@row("SM15")
def test_a_tuning_job_names_its_objective_among_the_static_hyperparameters(things: SageMakerThings) -> None:
    definition = things.tuning()["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"]["_tuning_objective_metric"] == "loss"


@row("SM17")
def test_a_page_of_jobs_is_taken_first_and_filtered_then(things: SageMakerThings) -> None:
    """The tuning job's training job, which was created after the training job, is on the second page."""
    request = {"NameContains": things.name, "MaxResults": 1, "StatusEquals": "Failed"}
    page = things.sagemaker.list_training_jobs(SortBy="CreationTime", SortOrder="Ascending", **request)
    assert page["TrainingJobSummaries"] == []
    assert page["NextToken"]


@row("SM17")
def test_pages_of_jobs_that_are_filtered_hold_all_of_them(things: SageMakerThings) -> None:
    pages = things.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=things.name, StatusEquals="Completed", PaginationConfig={"PageSize": 1}
    )
    found = [job["TrainingJobStatus"] for page in pages for job in page["TrainingJobSummaries"]]
    assert found == ["Completed"] * 2


@row("10")
@pytest.mark.parametrize("kind", ["training-job", "endpoint", "model-package-group", "notebook-instance"])
@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("list_tags", {}),
        ("add_tags", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("delete_tags", {"TagKeys": ["a"]}),
    ],
)
def test_what_does_not_exist_has_no_tags(
    sagemaker: Any, client: Any, unique: str, kind: str, operation: str, members: dict[str, Any]
) -> None:
    account = client("sts").get_caller_identity()["Account"]
    arn = f"arn:aws:sagemaker:{sagemaker.meta.region_name}:{account}:{kind}/{unique}"
    with pytest.raises(sagemaker.exceptions.ClientError) as caught:
        getattr(sagemaker, operation)(ResourceArn=arn, **members)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
