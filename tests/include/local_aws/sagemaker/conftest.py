"""What tests of SageMaker's jobs and endpoints have in common: a bucket, sources, requests."""

import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.archives import archive, put_archive
from tests.endpoints import variant
from tests.environments import PATIENCE, WITHOUT_TORCH

ROLE = "arn:aws:iam::123456789012:role/sagemaker"

# A request with a gate says that it has begun, and is answered once there is a file of that name.
INFERENCE = """
import json, os, pathlib, time

def model_fn(model_dir):
    with open(os.path.join(model_dir, "answer.txt")) as file:
        return file.read()

def transform_fn(model, body, content_type, accept, context):
    if content_type == "application/octet-stream":
        return str(len(body)), "text/plain"
    if content_type == "text/csv":
        context.set_response_status(415, "Unsupported Media Type")
        return json.dumps({"error": "no CSV here"}), "application/json"
    request = json.loads(body)
    time.sleep(request.get("seconds", 0))
    if "gate" in request:
        gate = pathlib.Path(request["gate"])
        gate.with_suffix(".begun").touch()
        while not gate.exists():
            time.sleep(0.02)
    if request.get("fail"):
        raise RuntimeError("the model stumbled")
    return json.dumps({"answer": model, "pid": os.getpid()}), "application/json"
"""


@pytest.fixture(scope="session")
def sagemaker(local_aws: Any) -> Any:
    return local_aws.client("sagemaker")


@pytest.fixture(scope="session")
def s3(local_aws: Any) -> Any:
    return local_aws.client("s3")


@pytest.fixture(scope="session")
def role() -> str:
    return ROLE


@pytest.fixture(scope="session")
def read_archive(s3: Any) -> Callable[[str], dict[str, str]]:
    """Read the files of the tar.gz at an S3 address."""

    def read(uri: str) -> dict[str, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            return {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isfile()}

    return read


@pytest.fixture(scope="session")
def bucket(s3: Any) -> str:
    s3.create_bucket(Bucket="sagemaker-tests")
    return "sagemaker-tests"


@pytest.fixture(scope="module")
def module_name() -> str:
    """A name no other test file uses."""
    return f"m-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def name() -> str:
    """A name no other test uses."""
    return f"t-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def log_lines(local_aws: Any) -> Callable[[str, str], list[str]]:
    """Read the lines of all streams of a group whose names have a prefix."""
    logs = local_aws.client("logs")

    def read(group: str, prefix: str) -> list[str]:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]

    return read


@pytest.fixture(scope="session")
def training_request(s3: Any, bucket: str) -> Callable[..., dict[str, Any]]:
    """Put a script's source in S3 and build the request for a job that runs it, without PyTorch by default."""

    def build(
        name: str, script: str, *, files: dict[str, str] | None = None, torch: bool = False, **members: Any
    ) -> dict[str, Any]:
        source = f"{name}/sourcedir.tar.gz"
        s3.put_object(Bucket=bucket, Key=source, Body=archive({"train.py": script, **(files or {})}))
        hyperparameters = {
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/{source}"),
            **members.pop("HyperParameters", {}),
        }
        return {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": "pytorch", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{name}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 300},
            "HyperParameters": hyperparameters,
            **members,
            "Environment": ({} if torch else WITHOUT_TORCH) | members.get("Environment", {}),
        }

    return build


@pytest.fixture(scope="session")
def ended_training_job(sagemaker: Any, eventually: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    """Wait until a training job has ended and return its description."""

    def wait(job: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            answer = sagemaker.describe_training_job(TrainingJobName=job)
            return answer if answer["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

        return eventually(description, PATIENCE)

    return wait


@pytest.fixture(scope="session")
def any_model(s3: Any) -> str:
    """The address of a model archive that nothing is asked of."""
    return put_archive(s3, "s3://any-models/model.tar.gz")


@pytest.fixture(scope="session")
def put_model(s3: Any, bucket: str) -> Callable[..., str]:
    """Put a model archive in S3 whose endpoint answers a text; returns its address."""

    def put(name: str, answer: str, script: str = INFERENCE) -> str:
        key = f"{name}/{answer}/model.tar.gz"
        body = archive({"answer.txt": answer, "code/inference.py": script})
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    return put


@pytest.fixture
def endpoint_config(sagemaker: Any, name: str, put_model: Callable[..., str]) -> Callable[..., str]:
    """Make models, which run other code first, and a configuration with a variant for each; returns its name."""

    def make(
        suffix: str,
        *,
        first: str = "",
        script: str = INFERENCE,
        count: int = 1,
        torch: bool = False,
        **weights: float,
    ) -> str:
        variants = []
        for answer, weight in weights.items():
            model = f"{name}-{suffix}-{answer}"
            sagemaker.create_model(
                ModelName=model,
                ExecutionRoleArn=ROLE,
                PrimaryContainer={
                    "Image": "pytorch",
                    "ModelDataUrl": put_model(name, answer, first + script),
                    "Environment": {} if torch else WITHOUT_TORCH,
                },
            )
            variants.append(variant(model, answer, count=count) | {"InitialVariantWeight": weight})
        config = f"{name}-{suffix}"
        sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)
        return config

    return make


@pytest.fixture
def settled(sagemaker: Any, name: str, eventually: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
    """Wait until the test's endpoint is no longer being changed and return its description."""

    def wait() -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            answer = sagemaker.describe_endpoint(EndpointName=name)
            return answer if answer["EndpointStatus"] in ("InService", "Failed") else None

        return eventually(description, PATIENCE)

    return wait


@pytest.fixture
def endpoint(
    sagemaker: Any, name: str, endpoint_config: Callable[..., str], settled: Callable[[], dict[str, Any]]
) -> Iterator[str]:
    """An endpoint in service with the variant "blue" on one instance; deleted afterwards."""
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=endpoint_config("first", blue=1.0))
    assert settled()["EndpointStatus"] == "InService"
    yield name
    settled()
    sagemaker.delete_endpoint(EndpointName=name)


@pytest.fixture
def invoke(local_aws: Any, name: str) -> Callable[..., Any]:
    """Send JSON to the test's endpoint and return what it answers."""
    runtime = local_aws.client("sagemaker-runtime")

    def send(payload: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        response = runtime.invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=json.dumps(payload or {}), **options
        )
        return {**json.load(response["Body"]), "variant": response["InvokedProductionVariant"]}

    return send
