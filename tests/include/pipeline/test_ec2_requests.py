"""The request for a training on EC2: valid for EC2, secure, and the same training as on SageMaker."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from include.pipeline import ec2_requests, job_requests
from include.pipeline.ec2_launch import Launch
from include.pipeline.ec2_requests import ProfileError
from include.pipeline.images import Images
from include.pipeline.job_requests import Environment
from include.pipeline.settings import Ec2, Project, Training

CHANNELS = {"features": "s3://bucket/birds/features/x", "pretrained": "s3://bucket/birds/pretrained/x"}
CODE = "s3://bucket/birds/code/x/sourcedir.tar.gz"
BEST = {"batch_size": "32", "learning_rate": "0.01"}
LAUNCH = Launch(
    image="ami-0123456789abcdef0",
    image_parameter="/aws/service/deeplearning/ami/x86_64/any/latest/ami-id",
    root_device="/dev/sda1",
    security_group="sg-0123456789abcdef0",
)
ENVIRONMENT = Environment(
    bucket="bucket",
    sagemaker_role="arn:aws:iam::123456789012:role/any",
    function_role="arn:aws:iam::123456789012:role/any",
    training_instance_profile="arn:aws:iam::123456789012:instance-profile/training",
    region="us-east-1",
    account="123456789012",
    images=Images(tuning="image:1", training="image:1", processing="image:1", inference="image:2"),
)


def project(training: Training | None = None, **ec2: Any) -> Project:
    return Project(name="birds", description="d", ec2=Ec2(**ec2), training=training or Training())


def request(project: Project, launch: Launch = LAUNCH, rerun_token: str = "") -> dict[str, Any]:
    return ec2_requests.training(project, ENVIRONMENT, launch, CHANNELS, CODE, BEST, rerun_token)


def job(project: Project) -> dict[str, Any]:
    """Return the training job that is passed to the instance."""
    return json.loads(shlex.split(request(project)["Commands"][-1])[-1])


@pytest.mark.parametrize(
    "ec2",
    [{}, {"subnet_id": "subnet-0123456789abcdef0", "key_name": "mine", "spot": True}],
    ids=["plain", "all"],
)
def test_the_request_is_valid_for_ec2(ec2: dict[str, Any]) -> None:
    service = botocore.session.get_session().get_service_model("ec2")
    shape = service.operation_model("RunInstances").input_shape
    report = ParamValidator().validate(request(project(**ec2))["Instance"], shape)
    assert not report.has_errors(), report.generate_report()


def test_the_instance_is_secured_and_terminates_itself() -> None:
    instance = request(project(max_runtime_minutes=60))["Instance"]
    assert (instance["MinCount"], instance["MaxCount"]) == (1, 1)
    assert instance["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    (volume,) = instance["BlockDeviceMappings"]
    assert volume["DeviceName"] == "/dev/sda1"
    assert volume["Ebs"] == {
        "VolumeSize": 100,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    assert instance["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert instance["UserData"].splitlines() == ["#!/bin/sh", "shutdown -h +105"]
    assert instance["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
    assert not instance.keys() & {"KeyName", "SubnetId", "InstanceMarketOptions"}


def test_instance_and_volume_carry_the_projects_tags_and_the_name_of_the_training() -> None:
    wanted = request(project())
    for specification in wanted["Instance"]["TagSpecifications"]:
        assert {tag["Key"]: tag["Value"] for tag in specification["Tags"]} == {
            "project": "birds",
            "managed-by": "airflow",
            "Name": wanted["Name"],
        }
    kinds = [specification["ResourceType"] for specification in wanted["Instance"]["TagSpecifications"]]
    assert kinds == ["instance", "volume"]


def test_key_subnet_and_spot_are_those_of_the_project() -> None:
    instance = request(project(key_name="mine", subnet_id="subnet-0123", spot=True))["Instance"]
    assert (instance["KeyName"], instance["SubnetId"]) == ("mine", "subnet-0123")
    assert instance["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
    }


def test_the_training_job_equals_that_of_sagemaker() -> None:
    on_sagemaker = job_requests.training_job(project(), ENVIRONMENT, CHANNELS, CODE, BEST, 1, "")
    here = job(project())
    same = ("HyperParameters", "InputDataConfig", "OutputDataConfig", "Environment", "Tags")
    assert {key: here[key] for key in same} == {key: on_sagemaker[key] for key in same}
    metrics = "MetricDefinitions"
    assert here["AlgorithmSpecification"][metrics] == on_sagemaker["AlgorithmSpecification"][metrics]
    assert here["ResourceConfig"] == {
        "InstanceType": "g4dn.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 100,
    }
    assert here["StoppingCondition"] == {"MaxRuntimeInSeconds": 4 * 3600}


def test_spot_warm_pool_and_isolation_of_sagemaker_are_ignored() -> None:
    plain, special = (
        project(),
        project(Training(spot=True, network_isolation=True, instance_type="ml.m5.large")),
    )
    assert job(special) == job(plain)


@pytest.mark.parametrize(
    ("other", "is_another"),
    [
        pytest.param(project(instance_type="g5.xlarge"), True, id="instance type"),
        pytest.param(project(ami_parameter="/my/ami"), True, id="AMI of the user"),
        pytest.param(project(subnet_id="subnet-0123"), False, id="subnet"),
        pytest.param(project(spot=True), False, id="spot"),
        pytest.param(project(volume_gb=200), False, id="volume"),
    ],
)
def test_what_changes_the_result_changes_the_name(other: Project, is_another: bool) -> None:
    assert (request(other)["Name"] != request(project())["Name"]) == is_another


def test_a_rerun_token_repeats_a_training_and_a_newer_ami_does_not() -> None:
    newer = LAUNCH.model_copy(update={"image": "ami-1"})
    assert request(project(), newer)["Name"] == request(project())["Name"]
    assert request(project(), rerun_token="run 2")["Name"] != request(project())["Name"]


def test_the_digest_of_the_inputs_does_not_depend_on_the_place() -> None:
    moved = project(instance_type="g5.xlarge").model_copy(update={"train_on": "ec2"})
    assert job_requests.inputs_digest(moved, "f", "c") == job_requests.inputs_digest(project(), "f", "c")


def test_the_commands_are_a_shell_script_that_passes_the_job_unchanged() -> None:
    wanted = request(project())
    subprocess.run(["sh", "-n"], input="\n".join(wanted["Commands"]), text=True, check=True)
    assert job(project())["TrainingJobName"] == wanted["Name"]
    assert wanted["Record"] == f"s3://bucket/birds/training/{wanted['Name']}/record.json"
    assert wanted["LogGroup"] == "/image-classifier/training/birds"
    assert wanted["ExecutionTimeout"] == 4 * 3600


def test_a_stack_without_an_instance_profile_is_reported() -> None:
    ec2_requests.check_profile(ENVIRONMENT)
    with pytest.raises(ProfileError, match=r"Deploy include/infrastructure/stack\.yaml again"):
        ec2_requests.check_profile(ENVIRONMENT.model_copy(update={"training_instance_profile": None}))
