"""The SageMaker Python SDK, version 3: training on one and two hosts, tuning, and endpoints by its resource classes."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from include.local_aws.sagemaker import private_folder
from tests.archives import archive
from tests.environments import PATIENCE, WITHOUT_TORCH

pytestmark = pytest.mark.skipif(
    not private_folder.is_possible(),
    reason="This machine allows no mount namespace (unshare), which the SDK's training scripts need.",
)

SCRIPT = """
import json, os, pathlib
hyperparameters = json.loads(pathlib.Path("/opt/ml/input/config/hyperparameters.json").read_text())
pathlib.Path("/opt/ml/model", os.environ["SM_CURRENT_HOST"]).write_text(json.dumps(hyperparameters))
print("loss=0.5;")
"""
INFERENCE = """
def model_fn(model_dir):
    return "model"

def transform_fn(model, body, content_type, accept):
    return body.upper(), content_type
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


@pytest.fixture(scope="module")
def sdk(local_aws: Any) -> Iterator[pytest.MonkeyPatch]:
    """The SDK, which takes its addresses and credentials from the environment as boto3 does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", local_aws.url)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        # The SDK spells out the address of AWS's STS: the one that cannot be set from outside.
        from sagemaker.core.helper import session_helper

        patch.setattr(session_helper, "sts_regional_endpoint", lambda region: local_aws.url)
        yield patch


@pytest.fixture(scope="module")
def role(local_aws: Any) -> Iterator[str]:
    iam, name = local_aws.client("iam"), f"sdk-{uuid.uuid4().hex[:8]}"
    yield iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.delete_role(RoleName=name)


@pytest.fixture(scope="module")
def trainer(
    sdk: pytest.MonkeyPatch, role: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Make a ModelTrainer that runs the script on a number of hosts."""
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, SourceCode

    folder = tmp_path_factory.mktemp("source")
    Path(folder, "train.py").write_text(SCRIPT)

    def make(hosts: int) -> Any:
        return ModelTrainer(
            training_image="image",
            role=role,
            base_job_name=f"sdk-{hosts}-{uuid.uuid4().hex[:8]}",
            source_code=SourceCode(source_dir=str(folder), entry_script="train.py"),
            compute=Compute(instance_type="ml.m5.large", instance_count=hosts),
            hyperparameters={"rate": 0.1},
            environment=WITHOUT_TORCH,
        )

    return make


@pytest.fixture(scope="module")
def jobs(trainer: Callable[..., Any], local_aws: Any, eventually: Callable[..., Any]) -> dict[str, Any]:
    """A job on one host, one on two and a tuning job, begun together; described once they have ended."""
    from sagemaker.core.parameter import ContinuousParameter
    from sagemaker.train.tuner import HyperparameterTuner

    sagemaker = local_aws.client("sagemaker")
    names = {}
    for hosts in (1, 2):
        model_trainer = trainer(hosts)
        model_trainer.train(wait=False, logs=False)
        names[hosts] = model_trainer._latest_training_job.training_job_name  # noqa: SLF001
    tuner = HyperparameterTuner(
        model_trainer=trainer(1),
        objective_metric_name="loss",
        hyperparameter_ranges={"rate": ContinuousParameter(0.01, 0.1)},
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
        objective_type="Minimize",
        strategy="Random",
        max_jobs=1,
        max_parallel_jobs=1,
    )
    tuner.tune(wait=False)
    tuning = tuner.latest_tuning_job.hyper_parameter_tuning_job_name

    def training(name: str) -> dict[str, Any]:
        return sagemaker.describe_training_job(TrainingJobName=name)

    def search() -> dict[str, Any]:
        return sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuning)

    eventually(
        lambda: (
            all(training(name)["TrainingJobStatus"] != "InProgress" for name in names.values())
            and search()["HyperParameterTuningJobStatus"] != "InProgress"
        ),
        PATIENCE,
    )
    return {str(hosts): training(name) for hosts, name in names.items()} | {"tuning": search()}


def files(local_aws: Any, uri: str) -> dict[str, str]:
    """Read the files of a tar.gz in S3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content = local_aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {each.name: archive.extractfile(each).read().decode() for each in archive if each.isfile()}


@pytest.mark.parametrize(("hosts", "names"), [("1", ["127.0.0.1"]), ("2", ["127.0.0.1", "127.0.0.2"])])
def test_a_model_trainer_s_source_code_runs_and_gives_a_model(
    jobs: dict[str, Any], local_aws: Any, hosts: str, names: list[str]
) -> None:
    job = jobs[hosts]
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["AlgorithmSpecification"]["ContainerEntrypoint"]
    found = files(local_aws, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert sorted(found) == names
    assert json.loads(found["127.0.0.1"]) == {"rate": "0.1"}


def test_a_hyperparameter_tuner_finds_its_objective(jobs: dict[str, Any]) -> None:
    job = jobs["tuning"]
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    best = job["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5
    assert 0.01 <= float(best["TunedHyperParameters"]["rate"]) <= 0.1


def test_resource_classes_make_an_endpoint_that_answers(
    sdk: pytest.MonkeyPatch, role: str, local_aws: Any
) -> None:
    from sagemaker.core.resources import Endpoint, EndpointConfig, Model
    from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

    s3, name = local_aws.client("s3"), f"sdk-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="model.tar.gz", Body=archive({"code/inference.py": INFERENCE}))
    container = ContainerDefinition(
        image="image", model_data_url=f"s3://{name}/model.tar.gz", environment=WITHOUT_TORCH
    )
    model = Model.create(model_name=name, primary_container=container, execution_role_arn=role)
    variant = ProductionVariant(
        variant_name="only", model_name=name, instance_type="ml.m5.large", initial_instance_count=1
    )
    config = EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
    endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
    endpoint.wait_for_status("InService", poll=1, timeout=PATIENCE)
    answer = endpoint.invoke(body=b"text", content_type="text/plain")
    assert answer.body.read() == b"TEXT"
    assert Endpoint.get(endpoint_name=name).endpoint_status == "InService"
    endpoint.delete()
    endpoint.wait_for_delete(poll=1, timeout=PATIENCE)
    config.delete()
    model.delete()
    assert name not in [each.model_name for each in Model.get_all(name_contains=name)]
