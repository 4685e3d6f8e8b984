"""Request bodies: valid for SageMaker, complete, and named by their content."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from include.pipeline import job_requests
from include.pipeline.images import Images, container_images
from include.pipeline.job_requests import Environment
from include.pipeline.settings import Project

CHANNELS = {"features": "s3://bucket/birds/features/x", "pretrained": "s3://bucket/birds/pretrained/x"}
CODE = "s3://bucket/birds/code/x/sourcedir.tar.gz"


@pytest.fixture
def env() -> Environment:
    role = "arn:aws:iam::123456789012:role/any"
    return Environment(
        bucket="bucket",
        sagemaker_role=role,
        function_role=role,
        region="us-east-1",
        account="123456789012",
        images=Images(tuning="image:1", training="image:1", processing="image:1", inference="image:2"),
    )


def requests(project: Project, env: Environment, salt: str = "") -> dict[str, dict[str, Any]]:
    model = job_requests.model(project, env, "s3://bucket/model.tar.gz", "0123")
    config = job_requests.endpoint_config(project, model["ModelName"])
    return {
        "CreateProcessingJob": job_requests.evaluation_job(
            project, env, "s3://b/d", CODE, "s3://b/m", "s3://b/l", salt
        ),
        "CreateHyperParameterTuningJob": job_requests.tuning_job(project, env, CHANNELS, CODE, salt),
        "CreateTrainingJob": job_requests.training_job(
            project, env, CHANNELS, CODE, {"batch_size": "32"}, 2, salt
        ),
        "CreateModel": model,
        "CreateEndpointConfig": config,
        "CreateEndpoint": job_requests.endpoint(project, config["EndpointConfigName"]),
    }


def test_each_request_satisfies_sagemakers_own_service_model(project: Project, env: Environment) -> None:
    service = botocore.session.get_session().get_service_model("sagemaker")
    for operation, request in requests(project, env).items():
        report = ParamValidator().validate(request, service.operation_model(operation).input_shape)
        assert not report.has_errors(), f"{operation}: {report.generate_report()}"


def test_everything_carries_the_projects_tags(project: Project, env: Environment) -> None:
    for request in requests(project, env).values():
        assert {"Key": "project", "Value": "birds"} in request["Tags"]
        assert {"Key": "managed-by", "Value": "airflow"} in request["Tags"]


def test_equal_requests_have_equal_names_and_a_salt_sets_jobs_apart(
    project: Project, env: Environment
) -> None:
    key = "TrainingJobName"
    first, second = (requests(project, env)["CreateTrainingJob"][key] for _ in range(2))
    assert first == second
    assert requests(project, env, salt="run")["CreateTrainingJob"][key] != first


def test_a_changed_setting_changes_the_name(project: Project, env: Environment) -> None:
    changed = project.model_copy(update={"classifier": project.classifier.model_copy(update={"epochs": 11})})
    assert (
        requests(project, env)["CreateTrainingJob"]["TrainingJobName"]
        != requests(changed, env)["CreateTrainingJob"]["TrainingJobName"]
    )


def test_several_instances_train_by_torchrun_and_one_does_not(project: Project, env: Environment) -> None:
    several = job_requests.training_job(project, env, CHANNELS, CODE, {}, 2, "")
    one = job_requests.training_job(project, env, CHANNELS, CODE, {}, 1, "")
    assert several["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
    assert several["ResourceConfig"]["InstanceCount"] == 2
    assert "sagemaker_torch_distributed_enabled" not in one["HyperParameters"]


def test_a_model_answers_with_its_own_name(project: Project, env: Environment) -> None:
    model = requests(project, env)["CreateModel"]
    assert model["PrimaryContainer"]["Environment"]["MODEL_VERSION"] == model["ModelName"]


def test_the_endpoint_may_read_the_projects_prefix_alone(project: Project, env: Environment) -> None:
    environment = requests(project, env)["CreateModel"]["PrimaryContainer"]["Environment"]
    assert environment["S3_INPUT_PREFIX"] == "s3://bucket/birds/"


def test_the_first_release_is_judged_alone(project: Project, env: Environment) -> None:
    request = job_requests.evaluation_job(project, env, "s3://b/d", CODE, "s3://b/m", None, "")
    assert [item["InputName"] for item in request["ProcessingInputs"]] == ["code", "data", "candidate"]
    assert "--live" not in request["AppSpecification"]["ContainerArguments"]


def test_metrics_are_found_in_what_training_prints(project: Project, env: Environment) -> None:
    import re

    definitions = requests(project, env)["CreateTrainingJob"]["AlgorithmSpecification"]["MetricDefinitions"]
    regexes = {definition["Name"]: definition["Regex"] for definition in definitions}
    line = "epoch=3 validation:loss=1.5e-02"
    assert re.findall(regexes["validation:loss"], line) == ["1.5e-02"]
    assert not re.findall(regexes["best:validation_loss"], line)
    assert re.findall(regexes["best:validation_loss"], "best:validation_loss=0.25") == ["0.25"]


def test_images_fit_the_instance_types(project: Project) -> None:
    images = container_images(
        project.model_copy(
            update={"tuning": project.tuning.model_copy(update={"instance_type": "ml.g4dn.xlarge"})}
        ),
        "eu-west-1",
    )
    assert "pytorch-training" in images.tuning
    assert "-gpu-" in images.tuning
    assert "-cpu-" in images.training
    assert "pytorch-inference" in images.inference
    assert "eu-west-1" in images.inference
