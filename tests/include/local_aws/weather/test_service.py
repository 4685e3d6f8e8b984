"""Test through boto3 what callers meet on a server that has weather."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from tests.archives import put_archive
from tests.conftest import LocalAws
from tests.endpoints import variant

SECONDS = 1
# Longer than each lag, also on a busy machine.
PATIENCE = 120.0
ROLE = "arn:aws:iam::123456789012:role/weather"
# One of those that moto knows. To list them all takes a second.
IMAGE = "ami-12c6146b"
LAGS = "configs,ec2,pages,roles,tags"


@pytest.fixture(scope="module")
def lagging(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    environment = {"LOCAL_AWS_WEATHER": LAGS, "LOCAL_AWS_WEATHER_SECONDS": str(SECONDS)}
    with running_local_aws(tmp_path_factory.mktemp("lagging"), **environment) as server:
        yield server


@pytest.fixture(scope="module")
def late(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    """Run a server whose lags end after the tests."""
    environment = {"LOCAL_AWS_WEATHER": LAGS, "LOCAL_AWS_WEATHER_SECONDS": "3600"}
    with running_local_aws(tmp_path_factory.mktemp("late"), **environment) as server:
        yield server


@pytest.fixture(scope="module")
def throttling(
    running_local_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    with running_local_aws(tmp_path_factory.mktemp("throttling"), LOCAL_AWS_WEATHER="throttling") as server:
        yield server


def seen(server: LocalAws) -> dict[str, int]:
    """Return how often each weather has happened."""
    with urllib.request.urlopen(f"{server.url}/_local_aws/weather") as answer:
        return json.load(answer)


def is_refused_for_a_while(call: Callable[[], Any], code: str, text: str) -> None:
    """Verify that a call is refused with a code and a text, and succeeds some seconds later."""
    start = time.monotonic()
    with pytest.raises(ClientError) as caught:
        call()
    while True:
        assert caught.value.response["Error"]["Code"] == code
        assert text in caught.value.response["Error"]["Message"]
        assert time.monotonic() < start + PATIENCE
        time.sleep(0.2)
        try:
            call()
        except ClientError as error:
            caught.value.response = error.response
        else:
            break
    assert time.monotonic() >= start + SECONDS


def create_processing_job(sagemaker: Any, name: str, role: str = ROLE, **members: Any) -> str:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
    answer = sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=role,
        AppSpecification={"ImageUri": "any", "ContainerEntrypoint": ["true"]},
        ProcessingResources={"ClusterConfig": cluster},
        **members,
    )
    return answer["ProcessingJobArn"]


def create_model(server: LocalAws, name: str, role: str) -> None:
    sagemaker = server.client("sagemaker")
    container = {"Image": "any", "ModelDataUrl": "s3://any-models/model.tar.gz"}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)


def create_endpoint_config(sagemaker: Any, name: str, model: str) -> None:
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(model)])


def create_function(server: LocalAws, role: str) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context):\n    return {}\n")
    return server.client("lambda").create_function(
        FunctionName="weather",
        Runtime="python3.12",
        Role=role,
        Handler="handler.handler",
        Code={"ZipFile": code.getvalue()},
    )["FunctionName"]


def launch(ec2: Any, **members: Any) -> str:
    (instance,) = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        **members,
    )["Instances"]
    return instance["InstanceId"]


def create_role(server: LocalAws, name: str, service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = server.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)
    return role["Role"]["Arn"]


@pytest.mark.row("SM7")
def test_sagemaker_does_not_know_a_new_role(lagging: LocalAws) -> None:
    sagemaker, role = lagging.client("sagemaker"), f"{ROLE}-of-a-job"
    is_refused_for_a_while(
        lambda: create_processing_job(sagemaker, "with-a-new-role", role),
        "ValidationException",
        f"Could not assume role {role}",
    )
    put_archive(lagging.client("s3"), "s3://any-models/model.tar.gz")
    create_model(lagging, "with-a-known-role", role)
    assert seen(lagging)["roles/sagemaker"] > 0


@pytest.mark.row("LA7")
def test_lambda_does_not_know_a_new_role(lagging: LocalAws) -> None:
    role = create_role(lagging, "of-a-function", "lambda.amazonaws.com")
    is_refused_for_a_while(
        lambda: create_function(lagging, role),
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
    )
    assert seen(lagging)["roles/lambda"] > 0


@pytest.mark.row("EC11")
def test_ec2_does_not_know_a_new_instance_profile(lagging: LocalAws) -> None:
    lagging.client("iam").create_instance_profile(InstanceProfileName="new")
    ec2 = lagging.client("ec2")
    is_refused_for_a_while(
        lambda: launch(ec2, IamInstanceProfile={"Name": "new"}),
        "InvalidParameterValue",
        "Value (new) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    )
    assert seen(lagging)["roles/ec2"] > 0


@pytest.mark.row("EC8")
def test_ec2_does_not_know_a_new_security_group(lagging: LocalAws) -> None:
    ec2 = lagging.client("ec2")
    group = ec2.create_security_group(GroupName="new", Description="A test")["GroupId"]
    is_refused_for_a_while(
        lambda: launch(ec2, SecurityGroupIds=[group]), "InvalidGroup.NotFound", f"'{group}' does not exist"
    )
    assert seen(lagging)["ec2/group"] > 0


@pytest.mark.row("EC4", "EC5", "SS4")
def test_ec2_does_not_know_a_new_instance(late: LocalAws) -> None:
    ec2, ssm = late.client("ec2"), late.client("ssm")
    instance = launch(ec2)

    def listed() -> list[str]:
        filters = [{"Name": "instance-id", "Values": [instance]}]
        reservations = ec2.describe_instances(Filters=filters)["Reservations"]
        return [each["InstanceId"] for reservation in reservations for each in reservation["Instances"]]

    assert listed() == []
    with pytest.raises(ssm.exceptions.InvalidInstanceId):
        ssm.list_commands(InstanceId=instance)
    for call in (ec2.describe_instances, ec2.terminate_instances):
        with pytest.raises(ClientError, match=f"The instance ID '{instance}' does not exist") as caught:
            call(InstanceIds=[instance])
        assert caught.value.response["Error"]["Code"] == "InvalidInstanceID.NotFound"
    assert seen(late).keys() >= {"ec2/command", "ec2/instance", "ec2/listing"}


def test_ec2_knows_an_instance_after_some_seconds(lagging: LocalAws, eventually: Callable[..., Any]) -> None:
    ec2 = lagging.client("ec2")
    instance = launch(ec2)

    def is_listed() -> bool:
        listed = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [instance]}])
        return bool(listed["Reservations"])

    eventually(is_listed, seconds=PATIENCE)
    assert ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]


@pytest.mark.row("SM19")
def test_an_endpoint_does_not_find_a_new_configuration(lagging: LocalAws) -> None:
    sagemaker, role = lagging.client("sagemaker"), f"{ROLE}-of-a-model"
    put_archive(lagging.client("s3"), "s3://any-models/model.tar.gz")
    is_refused_for_a_while(
        lambda: create_model(lagging, "weather", role), "ValidationException", "Could not assume role"
    )
    create_endpoint_config(sagemaker, "new", "weather")
    is_refused_for_a_while(
        lambda: sagemaker.create_endpoint(EndpointName="weather", EndpointConfigName="new"),
        "ValidationException",
        'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/new".',
    )
    assert seen(lagging)["configs"] > 0


@pytest.mark.row("TG1")
def test_the_tagging_index_lacks_what_is_new(late: LocalAws) -> None:
    create_group(late)
    assert tagged(late) == []
    assert seen(late)["tags/new"] > 0


@pytest.mark.row("TG1")
def test_the_tagging_index_follows(lagging: LocalAws, eventually: Callable[..., Any]) -> None:
    create_group(lagging)
    # Each look makes moto list all resources of all services.
    (arn,) = eventually(lambda: tagged(lagging), seconds=PATIENCE, pause=1)
    assert arn.endswith(":model-package-group/weather")
    lagging.client("sagemaker").delete_model_package_group(ModelPackageGroupName="weather")
    eventually(lambda: not tagged(lagging), seconds=PATIENCE, pause=1)


def create_group(server: LocalAws) -> None:
    server.client("sagemaker").create_model_package_group(
        ModelPackageGroupName="weather", Tags=[{"Key": "project", "Value": "weather"}]
    )


def tagged(server: LocalAws) -> list[str]:
    found = server.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": ["weather"]}]
    )
    return [each["ResourceARN"] for each in found["ResourceTagMappingList"]]


@pytest.mark.row("SM17")
def test_a_filtered_page_may_be_empty_and_have_a_token(
    lagging: LocalAws, eventually: Callable[..., Any]
) -> None:
    sagemaker = lagging.client("sagemaker")
    eventually(lambda: knows_role(lambda: create_processing_job(sagemaker, "page-1")), seconds=PATIENCE)
    for number in (2, 3):
        create_processing_job(sagemaker, f"page-{number}")
    request = {"NameContains": "page-", "StatusEquals": "Failed"}
    first = sagemaker.list_processing_jobs(**request)
    assert (first["ProcessingJobSummaries"], "NextToken" in first) == ([], True)
    pages = list(sagemaker.get_paginator("list_processing_jobs").paginate(**request))
    assert [page["ProcessingJobSummaries"] for page in pages] == [[], [], []]
    assert seen(lagging)["pages/empty"] > 0


def knows_role(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError:
        return False
    return True


@pytest.mark.row("SM18", "LA21", "CW5", "EC13", "S36", "SS9")
@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    [
        ("application-autoscaling", "describe_scalable_targets", "ThrottlingException", 400),
        ("cloudformation", "describe_stacks", "Throttling", 400),
        ("cloudwatch", "describe_alarms", "Throttling", 400),
        ("ec2", "describe_vpcs", "RequestLimitExceeded", 503),
        ("lambda", "list_functions", "TooManyRequestsException", 429),
        ("logs", "describe_log_groups", "ThrottlingException", 400),
        ("resourcegroupstaggingapi", "get_resources", "ThrottledException", 400),
        ("s3", "list_buckets", "SlowDown", 503),
        ("sagemaker", "list_models", "ThrottlingException", 400),
        ("ssm", "list_commands", "ThrottlingException", 400),
    ],
)
def test_each_service_throttles_in_its_own_words(
    throttling: LocalAws, service: str, operation: str, code: str, status: int
) -> None:
    request = {"ServiceNamespace": "sagemaker"} if service == "application-autoscaling" else {}
    call = getattr(throttling.client(service), operation)
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    call(**request)
    assert seen(throttling)[f"throttling/{service}"] == 1


def test_three_refusals_in_a_row_are_more_than_a_single_retry_but_not_than_the_retries_of_boto3(
    throttling: LocalAws,
) -> None:
    once = throttling.client("sagemaker").list_endpoints
    with pytest.raises(ClientError):
        once()
    for _ in range(9):
        once()
    for _ in range(3):
        with pytest.raises(ClientError):
            once()
    for _ in range(7):
        once()
    usual = boto3.client(
        "sagemaker",
        endpoint_url=throttling.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(proxies={}),
    )
    for _ in range(14):
        usual.list_endpoints()


def test_what_local_aws_starts_has_no_weather(throttling: LocalAws) -> None:
    inside = boto3.client(
        "ssm",
        endpoint_url=throttling.url,
        region_name="us-east-1",
        aws_access_key_id="local-ec2-instance",
        aws_secret_access_key="test",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    for _ in range(20):
        inside.describe_instance_information()


def test_there_is_no_weather_unless_it_is_asked_for(local_aws: LocalAws) -> None:
    with pytest.raises(urllib.error.HTTPError):
        seen(local_aws)
    for _ in range(20):
        local_aws.client("ssm").describe_instance_information()
