"""InvokeEndpoint: what reaches the model, what comes back, and what is counted."""

import datetime
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from werkzeug.serving import make_server

from include.local_aws.sagemaker.serving import RequestHandler
from tests.endpoints import create_endpoint, wait_until_in_service
from tests.environments import WITHOUT_TORCH

STARTED = time.monotonic()


@pytest.fixture(scope="module")
def endpoint(
    sagemaker: Any, role: str, module_name: str, put_model: Callable[..., str], eventually: Callable[..., Any]
) -> Iterator[str]:
    """One endpoint with the variant "only" for all tests of this file."""
    model = put_model(module_name, "yes")
    container = {"Image": "pytorch", "ModelDataUrl": model, "Environment": WITHOUT_TORCH}
    sagemaker.create_model(ModelName=module_name, ExecutionRoleArn=role, PrimaryContainer=container)
    create_endpoint(sagemaker, module_name)
    wait_until_in_service(sagemaker, module_name)
    yield module_name
    sagemaker.delete_endpoint(EndpointName=module_name)


@pytest.fixture
def invoke(local_aws: Any, endpoint: str) -> Callable[..., Any]:
    """Send a body to the endpoint."""
    runtime = local_aws.client("sagemaker-runtime")

    def send(body: bytes, content_type: str = "application/json") -> Any:
        return runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type)

    return send


def test_an_answer_names_its_variant_and_content_type(invoke: Callable[..., Any]) -> None:
    response = invoke(b"{}")
    assert response["InvokedProductionVariant"] == "only"
    assert response["ContentType"] == "application/json"
    assert response["ResponseMetadata"]["RequestId"]
    assert json.load(response["Body"])["answer"] == "yes"


def test_six_megabytes_reach_the_model(invoke: Callable[..., Any]) -> None:
    body = bytes(range(256)) * (6 * 4096)
    response = invoke(body, "application/octet-stream")
    assert response["Body"].read() == b"6291456"
    assert response["ContentType"] == "text/plain"


def test_a_status_that_the_model_sets_is_the_original_status_of_a_model_error(
    invoke: Callable[..., Any],
) -> None:
    with pytest.raises(ClientError) as raised:
        invoke(b"a,b", "text/csv")
    answer = raised.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 415
    assert json.loads(answer["OriginalMessage"]) == {"error": "no CSV here"}


def test_after_a_refused_request_the_next_is_answered(invoke: Callable[..., Any]) -> None:
    with pytest.raises(ClientError):
        invoke(b"a,b", "text/csv")
    assert json.load(invoke(b"{}")["Body"])["answer"] == "yes"


def test_an_exception_in_the_model_is_a_model_error_of_status_500(invoke: Callable[..., Any]) -> None:
    with pytest.raises(ClientError, match="the model stumbled") as raised:
        invoke(b'{"fail": true}')
    assert raised.value.response["OriginalStatusCode"] == 500


def test_an_unknown_endpoint_is_a_validation_error(local_aws: Any) -> None:
    runtime = local_aws.client("sagemaker-runtime")
    with pytest.raises(
        ClientError, match=r"ValidationError.*Endpoint none of account 123456789012 not found"
    ):
        runtime.invoke_endpoint(EndpointName="none", Body=b"{}")


def test_invocations_latency_and_errors_are_in_cloudwatch(
    local_aws: Any, endpoint: str, invoke: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    invoke(b'{"seconds": 0.05}')
    with pytest.raises(ClientError):
        invoke(b"a,b", "text/csv")
    with pytest.raises(ClientError):
        invoke(b'{"fail": true}')
    cloudwatch = local_aws.client("cloudwatch")
    now = datetime.datetime.now(datetime.UTC)
    variant = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "only"}]
    # A configuration has the endpoint's name here.
    fleet = [*variant, {"Name": "EndpointConfigName", "Value": endpoint}]

    def value(metric: str, statistic: str, dimensions: list[dict[str, str]]) -> float:
        stat = {
            "Metric": {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": dimensions},
            "Period": 3600,
            "Stat": statistic,
        }
        [result] = cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "value", "MetricStat": stat}],
            StartTime=now - datetime.timedelta(minutes=10),
            EndTime=now + datetime.timedelta(minutes=10),
        )["MetricDataResults"]
        return sum(result["Values"])

    eventually(
        lambda: value("ModelLatency", "Maximum", fleet) >= 50_000
    )  # microseconds: of the first request
    eventually(lambda: value("ConcurrentRequestsPerModel", "Maximum", variant) >= 1)
    eventually(lambda: value("Invocation4XXErrors", "Sum", fleet) >= 1)
    eventually(lambda: value("Invocation5XXErrors", "Sum", fleet) >= 1)
    for dimensions in (variant, fleet):
        assert value("Invocation4XXErrors", "Sum", dimensions) >= 1
        assert value("Invocation5XXErrors", "Sum", dimensions) >= 1
        assert value("Invocations", "Sum", dimensions) >= 3

        def each_counts_once(dimensions: list[dict[str, str]] = dimensions) -> bool:
            """There is one instance; values of the last requests may still be on their way."""
            counts = {
                value("Invocations", "Sum", dimensions),
                value("InvocationsPerInstance", "Sum", dimensions),
                value("Invocation4XXErrors", "SampleCount", dimensions),
            }
            return len(counts) == 1

        eventually(each_counts_once)
        slowest, passed = value("ModelLatency", "Maximum", dimensions), (time.monotonic() - STARTED) * 1e6
        assert 50_000 <= slowest <= passed
        assert 0 < value("ModelLatency", "p99", dimensions) <= slowest
        assert 0 < value("OverheadLatency", "Average", dimensions) <= passed


def test_a_metric_s_statistics_can_be_read(
    local_aws: Any, endpoint: str, invoke: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    invoke(b"{}")
    cloudwatch, now = local_aws.client("cloudwatch"), datetime.datetime.now(datetime.UTC)

    def points() -> list[dict[str, Any]]:
        return cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": "only"},
            ],
            StartTime=now - datetime.timedelta(minutes=10),
            EndTime=now + datetime.timedelta(minutes=10),
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]

    [point] = eventually(points)
    assert point["Sum"] >= 1


def test_the_model_s_server_answers_without_waiting_for_an_ack() -> None:
    """Waiting for one would add 40 ms to each answer."""
    without_delay = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        connection = environ["werkzeug.socket"]
        without_delay.append(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        start_response("200 OK", [("Content-Length", "0")])
        return []

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=RequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = http.client.HTTPConnection("127.0.0.1", server.server_port)
    client.request("GET", "/")
    client.getresponse().read()
    client.close()
    server.shutdown()
    server.server_close()
    assert without_delay == [True]
