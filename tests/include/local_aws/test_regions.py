"""Regions are apart: what is made in one does not exist in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from include.local_aws.regions import region_of
from tests.archives import put_archive

ROLE = "arn:aws:iam::123456789012:role/any"
SCRIPT = "import os; print('this is', os.environ['AWS_REGION'])"


@pytest.fixture
def there(local_aws: Any) -> Callable[[str], Any]:
    """Clients of another region than the server's own."""

    def client(service: str, region: str = "eu-west-1") -> Any:
        return boto3.client(
            service,
            endpoint_url=local_aws.url,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}
            ),
        )

    return client


def create_model(sagemaker: Any, archive: str) -> str:
    arn: str = sagemaker.create_model(
        ModelName="regional",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "pytorch", "ModelDataUrl": archive},
        Tags=[{"Key": "made-in", "Value": sagemaker.meta.region_name}],
    )["ModelArn"]
    return arn


def test_a_model_of_one_region_does_not_exist_in_another(local_aws: Any, there: Callable[[str], Any]) -> None:
    here, elsewhere = local_aws.client("sagemaker"), there("sagemaker")
    archive = put_archive(local_aws.client("s3"), "s3://regional-models/model.tar.gz")
    arn = create_model(here, archive)
    with pytest.raises(ClientError, match='Could not find model "arn:aws:sagemaker:eu-west-1:'):
        elsewhere.describe_model(ModelName="regional")
    with pytest.raises(ClientError, match="Could not find model"):
        elsewhere.list_tags(ResourceArn=arn)
    assert elsewhere.list_models()["Models"] == []
    other = create_model(elsewhere, archive)
    assert other == arn.replace("us-east-1", "eu-west-1")
    for client, known in ((local_aws.client, arn), (there, other)):
        found = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "made-in"}])
        assert [each["ResourceARN"] for each in found["ResourceTagMappingList"]] == [known]
    here.delete_model(ModelName="regional")
    elsewhere.delete_model(ModelName="regional")


def test_an_endpoint_is_invoked_in_its_region_alone(local_aws: Any, there: Callable[[str], Any]) -> None:
    with pytest.raises(ClientError, match="Endpoint regional of account 123456789012 not found"):
        there("sagemaker-runtime").invoke_endpoint(EndpointName="regional", Body=b"{}")


def test_a_job_runs_in_the_region_in_which_it_was_created(
    local_aws: Any, there: Callable[[str], Any], eventually: Callable[..., Any]
) -> None:
    sagemaker = there("sagemaker")
    request = {
        "ProcessingJobName": "regional",
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": "any", "ContainerEntrypoint": ["python", "-c", SCRIPT]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
    }
    sagemaker.create_processing_job(**request)
    with pytest.raises(ClientError, match="Could not find requested job"):
        local_aws.client("sagemaker").describe_processing_job(ProcessingJobName="regional")
    job = sagemaker.describe_processing_job
    eventually(lambda: job(ProcessingJobName="regional")["ProcessingJobStatus"] == "Completed")
    logs = there("logs")
    group = {"logGroupName": "/aws/sagemaker/ProcessingJobs"}
    [stream] = logs.describe_log_streams(**group, logStreamNamePrefix="regional/")["logStreams"]
    lines = logs.get_log_events(**group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
    assert lines[-1]["message"] == "this is eu-west-1"


def test_a_parameter_and_commands_of_one_region_do_not_exist_in_another(
    local_aws: Any, there: Callable[[str], Any]
) -> None:
    local_aws.client("ssm").put_parameter(Name="regional", Value="here", Type="String")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        there("ssm").get_parameter(Name="regional")
    assert there("ssm").list_commands()["Commands"] == []


def test_a_region_that_does_not_exist_is_refused(there: Callable[..., Any]) -> None:
    with pytest.raises(ClientError, match="AWS has no sagemaker in a region mars-north-1"):
        there("sagemaker", "mars-north-1").list_models()


@pytest.mark.parametrize(
    ("query", "authorization", "region"),
    [
        (
            "",
            "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/ssm/aws4_request, Signature=1",
            "eu-west-1",
        ),
        ("X-Amz-Credential=test/20260101/ap-south-1/s3/aws4_request", "", "ap-south-1"),
        ("", "", "us-east-1"),
    ],
)
def test_the_region_is_that_of_the_signature(query: str, authorization: str, region: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    request = Request(EnvironBuilder(query_string=query, headers=headers).get_environ())
    assert region_of(request, "us-east-1") == region
