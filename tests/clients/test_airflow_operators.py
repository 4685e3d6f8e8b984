"""The Amazon provider's own operators and sensors, in the worker and deferred: what users bring along."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.amazon.aws.operators.ec2 import (
    EC2CreateInstanceOperator,
    EC2StartInstanceOperator,
    EC2StopInstanceOperator,
    EC2TerminateInstanceOperator,
)
from airflow.providers.amazon.aws.operators.lambda_function import (
    LambdaCreateFunctionOperator,
    LambdaInvokeFunctionOperator,
)
from airflow.providers.amazon.aws.operators.s3 import (
    S3CopyObjectOperator,
    S3CreateBucketOperator,
    S3CreateObjectOperator,
    S3DeleteBucketOperator,
    S3ListOperator,
)
from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerDeleteModelOperator,
    SageMakerEndpointConfigOperator,
    SageMakerEndpointOperator,
    SageMakerModelOperator,
    SageMakerProcessingOperator,
    SageMakerTrainingOperator,
    SageMakerTransformOperator,
)
from airflow.providers.amazon.aws.sensors.ec2 import EC2InstanceStateSensor
from airflow.providers.amazon.aws.sensors.lambda_function import LambdaFunctionStateSensor
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.amazon.aws.sensors.sagemaker import SageMakerEndpointSensor, SageMakerTrainingSensor
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.module_loading import import_string
from botocore.exceptions import ClientError

from tests.archives import archive
from tests.endpoints import variant
from tests.environments import PATIENCE, WITHOUT_TORCH

RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
INFERENCE = """
def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    return "answer", "text/plain"
"""
AMI = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-ubuntu-24.04/latest/ami-id"

both_ways = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])


class Context(dict[str, Any]):
    """What operators take from the context of a task: where their links are kept."""

    def __missing__(self, key: str) -> Any:
        return self

    def xcom_push(self, key: str, value: Any) -> None:
        self[key] = value


def run(operator: Any) -> Any:
    """Run a task as Airflow does: a trigger is made anew in the triggerer, and its event resumes the task."""
    method, arguments = operator.execute, {}
    while True:
        try:
            return method(Context(), **arguments)
        except TaskDeferred as deferred:
            path, settings = deferred.trigger.serialize()
            event = asyncio.run(_first_event(import_string(path)(**settings)))
            arguments = {**(deferred.kwargs or {}), "event": event}
            method = getattr(operator, deferred.method_name)


async def _first_event(trigger: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        async for event in trigger.run():
            return event.payload
    raise AssertionError("The trigger ended without an event.")


@pytest.fixture
def aws(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local AWS, where Airflow's clients go by themselves."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return local_aws


@pytest.fixture
def name() -> str:
    return f"provider-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bucket(aws: Any, name: str) -> str:
    """A bucket with a source for training and a model."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    for key, file, text in (
        ("source.tar.gz", "train.py", "open('/opt/ml/' + 'model/made', 'w').close()\n"),
        ("model.tar.gz", "code/inference.py", INFERENCE),
    ):
        s3.put_object(Bucket=name, Key=key, Body=archive({file: text}))
    return name


@pytest.fixture
def role(aws: Any, name: str) -> Iterator[str]:
    """A role for Lambda and for SageMaker; the provider looks it up by its name."""
    services = ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]
    statement = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = aws.client("iam")
    yield iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.delete_role(RoleName=name)


@both_ways
def test_s3(aws: Any, name: str, deferrable: bool) -> None:
    run(S3CreateBucketOperator(task_id="make", bucket_name=name))
    run(S3CreateObjectOperator(task_id="put", s3_bucket=name, s3_key="a", data="text"))
    run(
        S3CopyObjectOperator(
            task_id="copy",
            source_bucket_name=name,
            source_bucket_key="a",
            dest_bucket_name=name,
            dest_bucket_key="b",
        )
    )
    run(S3KeySensor(task_id="wait", bucket_name=name, bucket_key="b", poke_interval=1, deferrable=deferrable))
    assert run(S3ListOperator(task_id="list", bucket=name)) == ["a", "b"]
    run(S3DeleteBucketOperator(task_id="remove", bucket_name=name, force_delete=True))


@both_ways
def test_lambda(aws: Any, name: str, role: str, deferrable: bool) -> None:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return event['a'] + 1\n")
    arn = run(
        LambdaCreateFunctionOperator(
            task_id="make",
            function_name=name,
            runtime="python3.12",
            role=role,
            handler="app.handler",
            code={"ZipFile": package.getvalue()},
            wait_for_completion=True,
            waiter_delay=1,
            deferrable=deferrable,
        )
    )
    assert arn.endswith(name)
    run(LambdaFunctionStateSensor(task_id="wait", function_name=name, poke_interval=1))
    call = LambdaInvokeFunctionOperator(task_id="call", function_name=name, payload=json.dumps({"a": 1}))
    assert run(call) == "2"
    aws.client("lambda").delete_function(FunctionName=name)


@both_ways
def test_sagemaker_processing(aws: Any, name: str, bucket: str, role: str, deferrable: bool) -> None:
    output = {
        "OutputName": "out",
        "S3Output": {
            "S3Uri": f"s3://{bucket}/out",
            "LocalPath": "/opt/ml/processing/out",
            "S3UploadMode": "EndOfJob",
        },
    }
    command = ["/bin/sh", "-c", "echo text > /opt/ml/processing/out/a.txt"]
    config = {
        "ProcessingJobName": name,
        "RoleArn": role,
        "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": command},
        "ProcessingResources": {"ClusterConfig": RESOURCES},
        "ProcessingOutputConfig": {"Outputs": [output]},
    }
    run(
        SageMakerProcessingOperator(task_id="process", config=config, check_interval=1, deferrable=deferrable)
    )
    assert aws.client("s3").get_object(Bucket=bucket, Key="out/a.txt")["Body"].read() == b"text\n"


@both_ways
def test_sagemaker_training(aws: Any, name: str, bucket: str, role: str, deferrable: bool) -> None:
    config = {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
        "ResourceConfig": RESOURCES,
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        "HyperParameters": {
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/source.tar.gz"),
        },
        "Environment": WITHOUT_TORCH,
    }
    train = SageMakerTrainingOperator(
        task_id="train", config=config, check_interval=1, deferrable=deferrable, print_log=False
    )
    run(train)
    run(SageMakerTrainingSensor(task_id="wait", job_name=name, print_log=False, poke_interval=1))
    job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["TrainingJobStatus"] == "Completed"


def test_sagemaker_endpoint(aws: Any, name: str, bucket: str, role: str) -> None:
    container = {
        "Image": "image",
        "ModelDataUrl": f"s3://{bucket}/model.tar.gz",
        "Environment": WITHOUT_TORCH,
    }
    model = {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": role}
    config = {"EndpointConfigName": name, "ProductionVariants": [variant(name)]}
    run(SageMakerModelOperator(task_id="model", config=model))
    run(SageMakerEndpointConfigOperator(task_id="config", config=config))
    endpoint = {"EndpointName": name, "EndpointConfigName": name}
    for operation, deferrable in (("create", True), ("update", False)):
        run(
            SageMakerEndpointOperator(
                task_id=operation,
                config=endpoint,
                operation=operation,
                check_interval=1,
                deferrable=deferrable,
            )
        )
        run(SageMakerEndpointSensor(task_id="wait", endpoint_name=name, poke_interval=1))
    answer = aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"{}")
    assert answer["Body"].read() == b"answer"
    aws.client("sagemaker").delete_endpoint(EndpointName=name)
    run(SageMakerDeleteModelOperator(task_id="delete", config={"ModelName": name}))


def test_sagemaker_transform_is_refused(aws: Any, name: str, bucket: str, role: str) -> None:
    aws.client("s3").put_object(Bucket=bucket, Key="in/a.txt", Body=b"text")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in"}}
    config = {
        "TransformJobName": name,
        "ModelName": name,
        "TransformInput": {"DataSource": source},
        "TransformOutput": {"S3OutputPath": f"s3://{bucket}/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    with pytest.raises(ClientError, match=r"Local AWS does not implement SageMaker's \w*TransformJob"):
        run(SageMakerTransformOperator(task_id="transform", config=config))


def test_ec2(aws: Any) -> None:
    image = aws.client("ssm").get_parameter(Name=AMI)["Parameter"]["Value"]
    root = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True, "DeleteOnTermination": True}}
    [instance] = run(
        EC2CreateInstanceOperator(
            task_id="launch",
            image_id=image,
            config={"InstanceType": "t3.micro", "BlockDeviceMappings": [root]},
            wait_for_completion=True,
            poll_interval=1,
        )
    )
    run(EC2StopInstanceOperator(task_id="stop", instance_id=instance, check_interval=1))
    run(EC2StartInstanceOperator(task_id="start", instance_id=instance, check_interval=1))
    run(
        EC2InstanceStateSensor(
            task_id="wait", instance_id=instance, target_state="running", poke_interval=1, deferrable=True
        )
    )
    run(
        EC2TerminateInstanceOperator(
            task_id="end", instance_ids=instance, wait_for_completion=True, poll_interval=1
        )
    )
    [found] = aws.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert found["State"]["Name"] == "terminated"
