"""The record of calls: who called what, by whichever protocol, and nothing of what is secret or large."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.loaders
import pytest
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from include.local_aws.call_log import CallLog
from include.local_aws.gateway import HEALTH_PATH, Gateway

SECRET = "a-secret-that-nobody-may-read"


@Request.application
def _answer(request: Request) -> Response:
    return Response(b"{}", 404 if "unknown" in request.path else 200)


@pytest.fixture(autouse=True)
def models_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read botocore's models again: other tests share them, and botocore changes that of S3 when it makes a client."""
    spec = importlib.util.find_spec("botocore.loaders")
    assert spec is not None
    assert spec.loader is not None
    unpatched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpatched)
    monkeypatch.setattr(botocore.loaders.JSONFileLoader, "load_file", unpatched.JSONFileLoader.load_file)
    get_service_router.cache_clear()
    get_service_model.cache_clear()


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Send what boto3 makes of a call, and return what is recorded of it."""
    file = tmp_path / "calls.jsonl"
    gateway = Client(Gateway([], _answer, CallLog(file)))

    def send(service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        client = boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url="http://local",
            aws_access_key_id="local-function",
            aws_secret_access_key=SECRET,
            aws_session_token=SECRET,
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )

        class Sent(Exception):
            pass

        def catch(request: Any, **_: Any) -> None:
            body = request.body.read() if hasattr(request.body, "read") else request.body
            headers = {
                name: value.decode() if isinstance(value, bytes) else value
                for name, value in request.headers.items()
            }
            gateway.open(
                request.url.removeprefix("http://local"), method=request.method, headers=headers, data=body
            )
            raise Sent

        client.meta.events.register("before-send", catch)
        with pytest.raises(Sent):
            getattr(client, operation)(**parameters)
        assert SECRET not in file.read_text()
        return json.loads(file.read_text().splitlines()[-1])

    return send


@pytest.mark.parametrize(
    ("service", "method", "parameters", "operation"),
    [
        ("sagemaker", "describe_endpoint", {"EndpointName": "birds"}, "DescribeEndpoint"),
        ("lambda", "get_alias", {"FunctionName": "birds", "Name": "live"}, "GetAlias"),
        ("s3", "head_object", {"Bucket": "bucket", "Key": "a/key with blanks"}, "HeadObject"),
        ("s3", "list_objects_v2", {"Bucket": "bucket", "Prefix": "a/"}, "ListObjectsV2"),
        ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]}, "TerminateInstances"),
        ("cloudwatch", "describe_alarms", {"AlarmNames": ["birds"]}, "DescribeAlarms"),
        ("cloudformation", "describe_stacks", {"StackName": "stack"}, "DescribeStacks"),
        ("resourcegroupstaggingapi", "get_resources", {"ResourceTypeFilters": ["s3"]}, "GetResources"),
    ],
)
def test_a_call_is_recorded_with_its_parameters(
    record: Callable[..., dict[str, Any]],
    service: str,
    method: str,
    parameters: dict[str, Any],
    operation: str,
) -> None:
    call = record(service, method, **parameters)
    assert (call["principal"], call["service"], call["region"]) == ("local-function", service, "eu-west-1")
    assert (call["operation"], call["status"]) == (operation, 200)
    assert call["parameters"].items() >= parameters.items()


def test_a_body_is_not_recorded(record: Callable[..., dict[str, Any]]) -> None:
    put = record("s3", "put_object", Bucket="bucket", Key="key", Body=b"an image")
    invoke = record("sagemaker-runtime", "invoke_endpoint", EndpointName="birds", Body=b"an image")
    assert (put["operation"], put["parameters"]["Body"]) == ("PutObject", None)
    assert (invoke["service"], invoke["operation"]) == ("sagemaker-runtime", "InvokeEndpoint")
    assert invoke["parameters"]["Body"] is None


def test_a_call_that_is_not_signed_or_unknown_is_recorded_and_a_look_at_the_health_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "calls.jsonl"
    client = Client(Gateway([], _answer, CallLog(file)))
    client.get(HEALTH_PATH)
    client.get("/unknown")
    (call,) = map(json.loads, file.read_text().splitlines())
    assert (call["principal"], call["operation"], call["path"], call["status"]) == (
        None,
        None,
        "/unknown",
        404,
    )


def test_a_server_records_only_where_a_file_is_named(
    start_local_aws: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "calls.jsonl"
    with start_local_aws(LOCAL_AWS_CALLS=str(file)) as server:
        urllib.request.urlopen(f"{server.url}/_local_aws/health").read()
        server.client("s3").create_bucket(Bucket="bucket")
    (call,) = map(json.loads, file.read_text().splitlines())
    assert (call["principal"], call["operation"], call["status"]) == ("test", "CreateBucket", 200)
