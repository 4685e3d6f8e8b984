"""What moto does not know, or fails at, is answered in the protocol of the service."""

import json
from collections.abc import Callable
from typing import Any

import botocore.awsrequest
import botocore.parsers
import botocore.session
import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from include.local_aws.moto_faults import AwsErrorsOnly


@Request.application
def _moto(request: Request) -> Response:
    request.get_data()
    failure = request.headers.get("fails-with")
    if failure == "NotImplementedError":
        raise NotImplementedError("The action has not been implemented")
    if failure == "KeyError":
        raise KeyError("a bug")
    if failure == "page":
        return Response("<!doctype html>\n<title>404 Not Found</title>", 404, content_type="text/html")
    if failure == "nothing":
        return Response(status=404)
    if failure == "refusal":
        return Response(status=403)
    return Response(request.get_data())


SENT = {
    "sagemaker": {"headers": {"X-Amz-Target": "SageMaker.DoIt"}, "data": "{}"},
    "sns": {"data": "Action=DoIt&Version=1", "content_type": "application/x-www-form-urlencoded"},
    "ec2": {"data": "Action=DoIt&Version=1", "content_type": "application/x-www-form-urlencoded"},
    "lambda": {"path": "/2015-03-31/nothing"},
    "s3": {"path": "/bucket?nothing"},
}


@pytest.fixture
def answered() -> Callable[[str, str], dict[str, Any]]:
    """Send a request of a service that fails, and read the answer as botocore does."""
    client = Client(AwsErrorsOnly(_moto))

    def send(service: str, failure: str) -> dict[str, Any]:
        sent = SENT[service]
        scope = f"AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders="
        response = client.post(
            sent.get("path", "/"),
            headers={"Authorization": scope, "fails-with": failure, **sent.get("headers", {})},
            data=sent.get("data", ""),
            content_type=sent.get("content_type"),
        )
        model = botocore.session.get_session().get_service_model(service)
        parser = botocore.parsers.create_parser(model.resolved_protocol)
        operation = model.operation_model(next(iter(model.operation_names)))
        read = {"status_code": response.status_code, "headers": dict(response.headers), "body": response.data}
        return parser.parse(read, operation.output_shape)

    return send


@pytest.mark.parametrize("failure", ["NotImplementedError", "page"])
@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("sagemaker", "UnknownOperationException", 400),
        ("sns", "InvalidAction", 400),
        ("ec2", "InvalidAction", 400),
        ("lambda", "UnknownOperationException", 404),
        ("s3", "NotImplemented", 501),
    ],
)
def test_an_unknown_operation_is_refused_in_the_services_protocol(
    answered: Any, service: str, code: str, status: int, failure: str
) -> None:
    answer = answered(service, failure)
    assert answer["Error"]["Code"] == code
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert f"of {service}." in answer["Error"]["Message"]


@pytest.mark.parametrize("service", SENT)
def test_a_fault_of_moto_is_an_internal_failure_that_names_it(answered: Any, service: str) -> None:
    answer = answered(service, "KeyError")
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("InternalFailure", 500)
    assert "KeyError: 'a bug'" in answer["Error"]["Message"]


def test_an_empty_refusal_is_an_unknown_operation_except_in_s3(answered: Any) -> None:
    assert answered("lambda", "nothing")["Error"]["Code"] == "UnknownOperationException"
    assert answered("s3", "nothing")["Error"]["Code"] == "404"


def test_other_answers_are_moto_s_own() -> None:
    answer = Client(AwsErrorsOnly(_moto)).post("/", data=json.dumps({"a": 1}))
    assert (answer.status_code, answer.json if answer.is_json else json.loads(answer.data)) == (200, {"a": 1})


def test_a_simulation_of_permissions_is_denied_since_there_are_none() -> None:
    sent = {"Action": "SimulatePrincipalPolicy", "Version": "2010-05-08"}
    answer = Client(AwsErrorsOnly(_moto)).post("/", data=sent, headers={"fails-with": "NotImplementedError"})
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text


def test_an_anonymous_request_is_refused_with_the_status_that_moto_gives() -> None:
    assert (
        Client(AwsErrorsOnly(_moto)).get("/bucket/key", headers={"fails-with": "refusal"}).status_code == 403
    )
