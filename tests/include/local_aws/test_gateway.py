"""The gateway: who answers a request, and what moto gets of it."""

import io
import json
from typing import Any

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from include.local_aws.errors import AwsError
from include.local_aws.gateway import Gateway


class _Answering:
    """A service that answers /mine, and fails at /refused and /broken."""

    def respond(self, request: Request) -> Response | None:
        if request.path == "/refused":
            raise AwsError("ModelError", "the model refused", 424, OriginalStatusCode=415)
        if request.path == "/broken":
            raise KeyError("a bug")
        return Response(b"mine: " + request.get_data()) if request.path == "/mine" else None


@Request.application
def _moto(request: Request) -> Response:
    return Response(b"moto: " + request.get_data(), headers={"length": str(request.content_length)})


@pytest.fixture
def client() -> Client:
    return Client(Gateway([_Answering()], _moto))


def test_the_first_service_that_knows_a_request_answers_it(client: Client) -> None:
    assert client.post("/mine", data=b"body").data == b"mine: body"


def test_moto_answers_the_rest_with_the_whole_body(client: Client) -> None:
    assert client.put("/bucket/key", data=b"body").data == b"moto: body"


def test_moto_gets_a_body_that_came_in_chunks(client: Client) -> None:
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    response = client.put("/bucket/key", input_stream=io.BytesIO(b"body"), environ_overrides=environ)
    assert (response.data, response.headers["length"]) == (b"moto: body", "4")


def test_an_aws_error_is_what_botocore_reads(client: Client) -> None:
    response = client.post("/refused")
    assert (response.status_code, response.headers["x-amzn-ErrorType"]) == (424, "ModelError")
    assert json.loads(response.data) == {
        "__type": "ModelError",
        "message": "the model refused",
        "Message": "the model refused",
        "OriginalStatusCode": 415,
    }


def test_a_bug_is_an_internal_failure_that_is_logged(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.post("/broken")
    assert (response.status_code, response.headers["x-amzn-ErrorType"]) == (500, "InternalFailure")
    assert "POST /broken failed" in caplog.text


def test_every_own_answer_has_a_request_id(client: Client) -> None:
    assert client.post("/mine").headers["x-amzn-RequestId"]


def test_managed_policies_can_be_attached(local_aws: Any) -> None:
    iam = local_aws.client("iam")
    iam.create_role(RoleName="gateway-test", AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(
        RoleName="gateway-test", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    )
    [policy] = iam.list_attached_role_policies(RoleName="gateway-test")["AttachedPolicies"]
    assert policy["PolicyName"] == "AmazonSageMakerFullAccess"


def test_large_objects_pass_to_s3_and_back(local_aws: Any) -> None:
    s3 = local_aws.client("s3")
    body = bytes(range(256)) * (20 * 4096)
    s3.create_bucket(Bucket="gateway-test")
    s3.upload_fileobj(io.BytesIO(body), "gateway-test", "large object")  # several parts
    assert s3.get_object(Bucket="gateway-test", Key="large object")["Body"].read() == body
