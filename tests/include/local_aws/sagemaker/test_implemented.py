"""What local AWS does not implement of SageMaker is refused, never accepted and ignored."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.endpoints import create_endpoint, variant, wait_until_in_service
from tests.environments import WITHOUT_TORCH

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
VARIANT = variant("m")
S3_OUTPUT = {"S3OutputPath": "s3://bucket/out"}
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
}


def refused(call: Callable[..., Any], text: str, code: str = "ValidationException", **request: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code
    assert text in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_operations_that_would_do_no_work_are_refused(sagemaker: Any) -> None:
    s3_data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}
    refused(
        sagemaker.create_transform_job,
        "CreateTransformJob",
        TransformJobName="t",
        ModelName="m",
        TransformInput={"DataSource": s3_data},
        TransformOutput=S3_OUTPUT,
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    refused(
        sagemaker.create_compilation_job,
        "CreateCompilationJob",
        CompilationJobName="c",
        RoleArn=ROLE,
        OutputConfig={"S3OutputLocation": "s3://bucket/out", "TargetDevice": "ml_c5"},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    refused(sagemaker.list_pipelines, "ListPipelines")
    refused(sagemaker.list_auto_ml_jobs, "ListAutoMLJobs")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"AsyncInferenceConfig": {"OutputConfig": S3_OUTPUT}}, "AsyncInferenceConfig"),
        ({"ShadowProductionVariants": [VARIANT]}, "ShadowProductionVariants"),
        (
            {"ProductionVariants": [{**VARIANT, "EnableSSMAccess": True}]},
            "ProductionVariants.EnableSSMAccess",
        ),
    ],
)
def test_members_of_a_configuration_that_would_be_ignored_are_refused(
    sagemaker: Any, members: dict[str, Any], named: str
) -> None:
    request = {"EndpointConfigName": "c", "ProductionVariants": [VARIANT], **members}
    refused(sagemaker.create_endpoint_config, f"Local AWS does not implement {named} of", **request)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        (
            {"OutputDataConfig": {**S3_OUTPUT, "CompressionType": "NONE"}},
            "OutputDataConfig.CompressionType=NONE",
        ),
        ({"ExperimentConfig": {"ExperimentName": "e"}}, "ExperimentConfig"),
        ({"RemoteDebugConfig": {"EnableRemoteDebug": True}}, "RemoteDebugConfig"),
    ],
)
def test_members_of_a_training_job_that_would_be_ignored_are_refused(
    sagemaker: Any,
    training_request: Callable[..., dict[str, Any]],
    name: str,
    members: dict[str, Any],
    named: str,
) -> None:
    request = training_request(name, "") | members
    refused(sagemaker.create_training_job, f"Local AWS does not implement {named} of", **request)


def test_what_is_switched_off_is_no_reason_to_refuse(
    sagemaker: Any, training_request: Callable[..., dict[str, Any]], ended_training_job: Any, name: str
) -> None:
    request = training_request(name, "") | {
        "RemoteDebugConfig": {"EnableRemoteDebug": False},
        "ProfilerConfig": {"DisableProfiler": True},
    }
    sagemaker.create_training_job(**request)
    assert ended_training_job(name)["TrainingJobStatus"] == "Completed"


@pytest.fixture(scope="module")
def capturing(sagemaker: Any, module_name: str, put_model: Callable[..., str], bucket: str) -> Iterator[str]:
    """An endpoint that keeps all requests and answers."""
    container = {
        "Image": "pytorch",
        "ModelDataUrl": put_model(module_name, "yes"),
        "Environment": WITHOUT_TORCH,
    }
    sagemaker.create_model(ModelName=module_name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    capture = {**CAPTURE, "DestinationS3Uri": f"s3://{bucket}/{module_name}/captured"}
    create_endpoint(sagemaker, module_name, DataCaptureConfig=capture)
    wait_until_in_service(sagemaker, module_name)
    yield module_name
    sagemaker.delete_endpoint(EndpointName=module_name)


@pytest.fixture
def runtime(local_aws: Any) -> Any:
    return local_aws.client("sagemaker-runtime")


def test_captured_requests_and_answers_are_in_s3(
    runtime: Any, capturing: str, sagemaker: Any, s3: Any, bucket: str, eventually: Callable[..., Any]
) -> None:
    body = json.dumps({"seconds": 0})
    answer = runtime.invoke_endpoint(
        EndpointName=capturing, Body=body, ContentType="application/json", InferenceId="one"
    )["Body"].read()
    folder = f"{capturing}/captured/{capturing}/only/"
    [found] = eventually(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents"))
    [line] = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read().splitlines()
    record = json.loads(line)
    captured = record["captureData"]
    assert (captured["endpointInput"]["data"], captured["endpointInput"]["encoding"]) == (body, "JSON")
    assert captured["endpointOutput"]["data"] == answer.decode()
    assert record["eventMetadata"]["inferenceId"] == "one"
    assert found["Key"].endswith(".jsonl")
    shown = sagemaker.describe_endpoint(EndpointName=capturing)["DataCaptureConfig"]
    assert (shown["CaptureStatus"], shown["CurrentSamplingPercentage"]) == ("Started", 100)


def test_asynchronous_and_streaming_invocations_are_refused(runtime: Any, capturing: str) -> None:
    refused(
        runtime.invoke_endpoint_async,
        "InvokeEndpointAsync",
        "ValidationError",
        EndpointName=capturing,
        InputLocation="s3://bucket/in",
    )
    refused(
        runtime.invoke_endpoint_with_response_stream,
        "InvokeEndpointWithResponseStream",
        "ValidationError",
        EndpointName=capturing,
        Body=b"{}",
    )


def test_members_of_an_invocation_that_would_be_ignored_are_refused(runtime: Any, capturing: str) -> None:
    refused(
        runtime.invoke_endpoint,
        "TargetModel",
        "ValidationError",
        EndpointName=capturing,
        Body=b"{}",
        TargetModel="other.tar.gz",
    )


def test_a_body_above_25_mb_is_refused(runtime: Any, capturing: str) -> None:
    body = bytes(25 * 1024 * 1024 + 1)
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName=capturing, Body=body, ContentType="application/octet-stream")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    body = body[1:]
    answer = runtime.invoke_endpoint(
        EndpointName=capturing, Body=body, ContentType="application/octet-stream"
    )
    assert answer["Body"].read() == str(len(body)).encode()


@pytest.mark.parametrize(
    ("variants", "text"),
    [
        ([VARIANT, VARIANT], "has a VariantName twice"),
        ([{"VariantName": "only", "ModelName": "m"}], "needs an InstanceType and an InitialInstanceCount"),
    ],
)
def test_a_configuration_that_cannot_be_deployed_is_refused(
    sagemaker: Any, variants: list[dict[str, Any]], text: str
) -> None:
    refused(sagemaker.create_endpoint_config, text, EndpointConfigName="c", ProductionVariants=variants)


def test_a_job_without_instances_or_image_is_refused(
    sagemaker: Any, training_request: Callable[..., dict[str, Any]], name: str
) -> None:
    request = training_request(name, "")
    resources = request["ResourceConfig"] | {"InstanceCount": 0}
    refused(sagemaker.create_training_job, "InstanceCount is 0", **(request | {"ResourceConfig": resources}))
    algorithm = {"TrainingInputMode": "File"}
    refused(
        sagemaker.create_training_job, "no TrainingImage", **(request | {"AlgorithmSpecification": algorithm})
    )
    refused(sagemaker.create_model, "no Image", ModelName=name, PrimaryContainer={"ModelDataUrl": "s3://b/k"})


def test_members_of_a_notebook_instance_that_would_be_ignored_are_refused(sagemaker: Any, name: str) -> None:
    request = {"NotebookInstanceName": name, "InstanceType": "ml.t3.medium", "RoleArn": ROLE}
    repository = {"DefaultCodeRepository": "https://example.com/code"}
    refused(sagemaker.create_notebook_instance, "DefaultCodeRepository", **request, **repository)
