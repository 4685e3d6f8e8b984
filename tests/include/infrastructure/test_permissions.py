"""The policies of the stack allow each principal its calls on what is its own, and no other.

tests/e2e/test_killed_runs.py proves the same with the calls of whole runs.
"""

from __future__ import annotations

from typing import Any

import pytest

from include.local_aws.principals import Principal
from tests.include.infrastructure import iam_requests, policies, simulator
from tests.include.infrastructure.permissions import needs_simulator

pytestmark = needs_simulator

REGION = "eu-west-1"
MANAGED = [{"Key": "managed-by", "Value": "airflow"}]
STACK_ID = f"arn:aws:cloudformation:{REGION}:123456789012:stack/image-classifier/0"


def call(principal: str, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    """Return a call as local AWS records it."""
    return {
        "principal": principal,
        "service": service,
        "operation": operation,
        "region": REGION,
        "status": 200,
        "parameters": parameters,
    }


def allowed(stack: dict[str, dict[str, Any]], *calls: dict[str, Any]) -> bool:
    """Return whether all that IAM is asked for the last of the calls is allowed."""
    before = list(iam_requests.requests(calls[:-1], STACK_ID))
    asked = list(iam_requests.requests(calls, STACK_ID))[len(before) :]
    answers = simulator.simulate(asked, stack)
    assert answers
    assert not [answer.errors for answer in answers.values() if answer.errors]
    return all(answer.result == "Allowed" for answer in answers.values())


def make_endpoint(**tags: Any) -> dict[str, Any]:
    return call(
        "admin", "sagemaker", "CreateEndpoint", EndpointName="birds", EndpointConfigName="birds", **tags
    )


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        (policies.AIRFLOW, True),
        (Principal.JOB.value, False),
        (Principal.FUNCTION.value, False),
        (Principal.INSTANCE.value, False),
        (Principal.WORKSPACE.value, False),
    ],
)
def test_airflow_alone_deletes_endpoints(stack: dict[str, dict[str, Any]], principal: str, may: bool) -> None:
    deleting = call(principal, "sagemaker", "DeleteEndpoint", EndpointName="birds")
    assert allowed(stack, make_endpoint(Tags=MANAGED), deleting) is may
    assert not allowed(stack, make_endpoint(), deleting)


@pytest.mark.parametrize(
    ("principal", "may"),
    [
        (Principal.FUNCTION.value, True),
        (Principal.WORKSPACE.value, True),
        (Principal.JOB.value, False),
        (Principal.INSTANCE.value, False),
    ],
)
def test_an_endpoint_of_the_pipeline_is_asked_by_the_function_and_the_workspace(
    stack: dict[str, dict[str, Any]], principal: str, may: bool
) -> None:
    asking = call(principal, "sagemaker-runtime", "InvokeEndpoint", EndpointName="birds")
    assert allowed(stack, make_endpoint(Tags=MANAGED), asking) is may
    assert not allowed(stack, make_endpoint(), asking)


@pytest.mark.parametrize(
    ("group", "may"),
    [
        ("/aws/lambda/birds", True),
        ("/aws/sagemaker/Endpoints/birds", True),
        ("/image-classifier/training/birds", True),
        ("/aws/sagemaker/TrainingJobs", False),
        ("/aws/sagemaker/ProcessingJobs", False),
        ("/aws/sagemaker/NotebookInstances", False),
        ("/somebody/elses", False),
    ],
)
@pytest.mark.parametrize("operation", ["CreateLogGroup", "PutRetentionPolicy", "DeleteRetentionPolicy"])
def test_airflow_limits_no_logs_that_all_jobs_share(
    stack: dict[str, dict[str, Any]], operation: str, group: str, may: bool
) -> None:
    assert allowed(stack, call(policies.AIRFLOW, "logs", operation, logGroupName=group)) is may


@pytest.mark.parametrize("tagged", [True, False])
def test_airflow_makes_only_what_carries_its_tag(stack: dict[str, dict[str, Any]], tagged: bool) -> None:
    making = call(
        policies.AIRFLOW,
        "sagemaker",
        "CreateModelPackageGroup",
        ModelPackageGroupName="birds",
        Tags=MANAGED if tagged else [],
    )
    assert allowed(stack, making) is tagged


def test_registering_a_model_package_reads_the_image_that_it_names(
    stack: dict[str, dict[str, Any]],
) -> None:
    group = call("admin", "sagemaker", "CreateModelPackageGroup", ModelPackageGroupName="birds", Tags=MANAGED)

    def register(repository: str) -> dict[str, Any]:
        image = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/{repository}:2.8.0"
        specification = {"Containers": [{"Image": image}]}
        return call(
            policies.AIRFLOW,
            "sagemaker",
            "CreateModelPackage",
            ModelPackageGroupName="birds",
            InferenceSpecification=specification,
        )

    assert allowed(stack, group, register("pytorch-inference"))
    assert not allowed(stack, group, register("somebody-elses"))


@pytest.mark.parametrize(("name", "may"), [("image-classifier-serving", True), ("somebody-elses", False)])
def test_airflow_builds_the_serving_image_alone(
    stack: dict[str, dict[str, Any]], name: str, may: bool
) -> None:
    for calling in (
        call(policies.AIRFLOW, "codebuild", "StartBuild", projectName=name),
        call(policies.AIRFLOW, "codebuild", "BatchGetBuilds", ids=[f"{name}:0123"]),
        call(policies.AIRFLOW, "ecr", "DescribeImages", repositoryName=name),
    ):
        assert allowed(stack, calling) is may
    assert not allowed(stack, call(policies.AIRFLOW, "ecr", "PutImage", repositoryName=name))
    for principal in (Principal.JOB, Principal.FUNCTION, Principal.WORKSPACE):
        assert not allowed(stack, call(principal.value, "codebuild", "StartBuild", projectName=name))
    assert allowed(stack, call(Principal.JOB.value, "ecr", "BatchGetImage", repositoryName=name)) is may


@pytest.mark.parametrize(
    ("tokens", "encrypted", "may"),
    [("required", True, True), ("optional", True, False), ("required", False, False)],
)
def test_an_instance_is_launched_with_imdsv2_and_an_encrypted_volume(
    stack: dict[str, dict[str, Any]], tokens: str, encrypted: bool, may: bool
) -> None:
    def tags(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": MANAGED}]

    group = call("admin", "ec2", "CreateSecurityGroup", TagSpecifications=tags("security-group"))
    launch = call(
        policies.AIRFLOW,
        "ec2",
        "RunInstances",
        ImageId="ami-1",
        MetadataOptions={"HttpTokens": tokens},
        BlockDeviceMappings=[{"Ebs": {"Encrypted": encrypted}}],
        SecurityGroupIds=["sg-1"],
        TagSpecifications=tags("instance") + tags("volume"),
    )
    assert allowed(stack, group, launch) is may


@pytest.mark.parametrize(("document", "may"), [("AWS-RunShellScript", True), ("AWS-RunRemoteScript", False)])
def test_airflow_commands_its_own_instances_by_shell_alone(
    stack: dict[str, dict[str, Any]], document: str, may: bool
) -> None:
    launch = call(
        "admin",
        "ec2",
        "RunInstances",
        ImageId="ami-1",
        TagSpecifications=[{"ResourceType": "instance", "Tags": MANAGED}],
    )
    command = call(policies.AIRFLOW, "ssm", "SendCommand", DocumentName=document, InstanceIds=["i-1"])
    assert allowed(stack, launch, command) is may
    assert not allowed(stack, command)


def test_a_call_that_is_not_mapped_is_an_error() -> None:
    unknown = call(policies.AIRFLOW, "dynamodb", "GetItem") | {"method": "POST", "path": "/"}
    with pytest.raises(iam_requests.UnknownCallError, match="dynamodb"):
        list(iam_requests.requests([unknown], STACK_ID))
