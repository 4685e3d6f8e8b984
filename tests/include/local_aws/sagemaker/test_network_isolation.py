"""Network isolation: jobs and models without network, whose inputs, outputs and requests reach them all the same."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from include.local_aws.errors import AwsError
from include.local_aws.sagemaker import network_isolation
from tests import endpoints
from tests.environments import WITHOUT_TORCH

pytestmark = pytest.mark.skipif(
    not network_isolation.is_possible(),
    reason="this machine allows no network namespace",
)

SCRIPT = """
import os, pathlib, socket, urllib.parse
address = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
try:
    socket.create_connection((address.hostname, address.port), 5)
    outside = "reached"
except OSError:
    outside = "unreachable"
with socket.create_server(("127.0.0.1", 0)) as server:
    inside = socket.create_connection(server.getsockname(), 5).getpeername()[0]
secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "none")
print("value=0.5")
pathlib.Path(os.environ["SM_MODEL_DIR"], "report.txt").write_text(f"{outside} {inside} {secret}")
"""


@pytest.fixture
def isolated_request(
    bucket: str, training_request: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """Build the request for an isolated job whose code comes through a channel."""

    def build(name: str, script: str, **members: Any) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/sourcedir.tar.gz"}
        code = "/opt/ml/input/data/code/sourcedir.tar.gz"
        hyperparameters = {"sagemaker_submit_directory": json.dumps(code)}
        return training_request(
            name,
            script,
            EnableNetworkIsolation=True,
            InputDataConfig=[{"ChannelName": "code", "DataSource": {"S3DataSource": source}}],
            **{**members, "HyperParameters": hyperparameters | members.get("HyperParameters", {})},
        )

    return build


def test_an_isolated_job_reaches_itself_alone_and_still_gives_its_results(
    sagemaker: Any,
    name: str,
    isolated_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    read_archive: Callable[[str], dict[str, str]],
) -> None:
    request = isolated_request(name, SCRIPT)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "value", "Regex": "value=([0-9.]+)"}]
    sagemaker.create_training_job(**request)
    job = ended_training_job(name)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    model = read_archive(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert model == {"report.txt": "unreachable 127.0.0.1 none"}
    assert job["FinalMetricDataList"][0]["Value"] == 0.5


def test_an_isolated_job_cannot_fetch_its_code_from_s3(
    sagemaker: Any,
    name: str,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    log_lines: Callable[[str, str], list[str]],
) -> None:
    sagemaker.create_training_job(**training_request(name, SCRIPT, EnableNetworkIsolation=True))
    job = ended_training_job(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert "s3_download" in job["FailureReason"]
    lines = log_lines("/aws/sagemaker/TrainingJobs", f"{name}/")
    assert any("Unable to locate credentials" in line for line in lines)


def test_isolated_instances_of_one_job_reach_each_other(
    sagemaker: Any,
    name: str,
    isolated_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
) -> None:
    script = (
        "import os, socket, time\n"
        "if os.environ['SM_CURRENT_HOST'] == '127.0.0.1':\n"
        "    with socket.create_server(('127.0.0.1', 4321)) as server:\n"
        "        connection, _ = server.accept()\n"
        "        print(f'value={connection.recv(1).decode()}', flush=True)\n"
        "else:\n"
        "    while True:\n"
        "        try:\n"
        "            socket.create_connection(('127.0.0.1', 4321)).sendall(b'7')\n"
        "            break\n"
        "        except OSError: time.sleep(0.2)\n"
    )
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
    request = isolated_request(name, script, ResourceConfig=resources)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "value", "Regex": "value=([0-9.]+)"}]
    sagemaker.create_training_job(**request)
    job = ended_training_job(name)
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    assert job["FinalMetricDataList"][0]["Value"] == 7


MODEL = """
import json, os, socket, urllib.parse

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    address = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    try:
        socket.create_connection((address.hostname, address.port), 5)
        outside = "reached"
    except OSError:
        outside = "unreachable"
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "none")
    return json.dumps({"outside": outside, "secret": secret}), "application/json"
"""


def test_an_isolated_model_answers_and_reaches_nothing(
    sagemaker: Any, role: str, name: str, put_model: Callable[..., str], settled: Any, invoke: Any
) -> None:
    variants = []
    for variant, isolated in (("cut-off", True), ("online", False)):
        sagemaker.create_model(
            ModelName=f"{name}-{variant}",
            ExecutionRoleArn=role,
            PrimaryContainer={
                "Image": "pytorch",
                "ModelDataUrl": put_model(name, variant, MODEL),
                "Environment": WITHOUT_TORCH,
            },
            EnableNetworkIsolation=isolated,
        )
        variants.append(endpoints.variant(f"{name}-{variant}", variant))
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled()["EndpointStatus"] == "InService", settled()
    assert invoke(TargetVariant="cut-off") == {
        "outside": "unreachable",
        "secret": "none",
        "variant": "cut-off",
    }
    assert invoke(TargetVariant="online")["outside"] == "reached"
    sagemaker.delete_endpoint(EndpointName=name)


def test_what_can_not_be_isolated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_isolation, "is_possible", lambda: False)
    network_isolation.check_possible({"EnableNetworkIsolation": False})
    with pytest.raises(AwsError, match="cannot do EnableNetworkIsolation on this machine"):
        network_isolation.check_possible({"EnableNetworkIsolation": True})
