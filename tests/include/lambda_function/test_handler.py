import ast
import base64
import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from include.local_aws.awslambda import execution_environment
from include.local_aws.sagemaker import invocations
from include.pipeline import smoke_test

# As SageMaker does with the code that it is given: the scripts import the package beside them.
sys.path.insert(0, str(Path(__file__).parents[3] / "include" / "classifier"))

from image_classifier import payload

from tests.include.lambda_function.handler_module import HANDLER, import_handler

ANSWER = {"predictions": [{"label": "beagle", "probability": 0.9}], "model": "7"}
URL = {"url": "https://example.com/dog.jpg"}
CONTEXT = SimpleNamespace(aws_request_id="11112222-3333-4444-5555-666677778888")


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The handler module, imported from its file alone, as Lambda does."""
    monkeypatch.setenv("ENDPOINT_NAME", "dog-breeds")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return import_handler()


@pytest.fixture
def endpoint(function: ModuleType) -> Any:
    """The endpoint behind the function's client; an unexpected call fails the test."""
    with Stubber(function.runtime) as stubber:
        yield stubber


def will_answer(endpoint: Any, request: Any, answer: Any = ANSWER) -> None:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    endpoint.add_response(
        "invoke_endpoint",
        {"Body": StreamingBody(io.BytesIO(content), len(content)), "ContentType": "application/json"},
        {
            "EndpointName": "dog-breeds",
            "ContentType": "application/json",
            "Accept": "application/json",
            "Body": json.dumps(request).encode(),
        },
    )


def will_fail(endpoint: Any, code: str, **members: Any) -> None:
    secret = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/dog-breeds"
    endpoint.add_client_error("invoke_endpoint", code, secret, 400, modeled_fields=members or None)


def raise_from_client(monkeypatch: pytest.MonkeyPatch, function: ModuleType, error: Exception) -> None:
    def invoke_endpoint(**_: Any) -> None:
        raise error

    monkeypatch.setattr(function, "runtime", SimpleNamespace(invoke_endpoint=invoke_endpoint))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(URL, id="url"),
        pytest.param({"url": "HTTP://example.com:8080/a.png?token=1"}, id="url with port and query"),
        pytest.param({"image": base64.b64encode(b"picture").decode()}, id="image"),
        pytest.param({"s3": "s3://bucket/some/key.jpg"}, id="s3"),
        pytest.param([URL, {"s3": "s3://bucket/key"}], id="batch"),
        pytest.param({**URL, "top_k": 3}, id="top_k"),
    ],
)
def test_request_is_passed_on_unchanged_and_the_response_is_returned(
    function: ModuleType, endpoint: Any, request_: Any
) -> None:
    answer = [ANSWER] * len(request_) if isinstance(request_, list) else ANSWER
    will_answer(endpoint, request_, answer)
    assert function.handler(request_, CONTEXT) == answer


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        pytest.param(None, "The request must be a JSON object", id="nothing"),
        pytest.param("dog.jpg", "The request must be a JSON object", id="text"),
        pytest.param({}, "has 0 of the keys", id="no key"),
        pytest.param({**URL, "s3": "s3://b/k"}, "has 2 of the keys", id="two keys"),
        pytest.param({"uri": "x"}, "unknown keys: uri", id="unknown key"),
        pytest.param({"url": 7}, "must be a non-empty string", id="url is a number"),
        pytest.param({"url": ""}, "must be a non-empty string", id="url is empty"),
        pytest.param({"url": "file:///etc/passwd"}, "http:// or https://", id="file scheme"),
        pytest.param({"url": "https://"}, "http:// or https://", id="url without host"),
        pytest.param({"url": "https://[broken/a"}, "http:// or https://", id="url that can't be parsed"),
        pytest.param({"url": "https://a b/c"}, "http:// or https://", id="url with a space"),
        pytest.param({"url": "https://a/" + "b" * 2048}, "may have at most 2048", id="long url"),
        pytest.param({"image": "äöü"}, "valid base64", id="image is not ASCII"),
        pytest.param({"image": "abcde"}, "valid base64", id="image lacks a character"),
        pytest.param({"image": "data:image/png,AAAA"}, "data: URL without", id="data url without base64"),
        pytest.param({**URL, "top_k": 0}, '"top_k" must be a whole number', id="top_k of 0"),
        pytest.param({**URL, "top_k": True}, '"top_k" must be a whole number', id="top_k that is no number"),
        pytest.param({"top_k": 1}, "has 0 of the keys", id="top_k alone"),
        pytest.param({"s3": "https://bucket/key"}, "s3://bucket/key", id="s3 with another scheme"),
        pytest.param({"s3": "s3://bucket"}, "s3://bucket/key", id="s3 without key"),
        pytest.param({"s3": "s3://bucket/\ud800"}, "surrogate", id="lone surrogate in s3"),
        pytest.param({"url": "https://a/\ud800"}, "surrogate", id="lone surrogate in a url"),
        pytest.param({"\ud800": "x"}, "unknown keys: ?", id="lone surrogate in a key"),
        pytest.param([], "The batch has 0 images", id="empty batch"),
        pytest.param([URL] * 17, "The batch has 17 images", id="batch too long"),
        pytest.param([URL, {"url": "ftp://x"}], "Item 2 of the batch", id="second of a batch"),
        pytest.param([[URL]], "Item 1 of the batch must be a JSON object", id="nested batch"),
    ],
)
def test_invalid_request_is_rejected_without_a_call(
    function: ModuleType, endpoint: Any, event: Any, sentence: str
) -> None:
    answer = function.handler(event, CONTEXT)
    assert answer["status"] == 400
    assert sentence in answer["error"]
    assert answer["error"].encode()  # Lambda can send it


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"image": "A" * (6 * 1024 * 1024)}, id="one large picture"),
        pytest.param([{"image": "A" * (4 * 1024 * 1024)}] * 2, id="a large batch"),
    ],
)
def test_request_beyond_lambdas_limit_is_rejected(function: ModuleType, endpoint: Any, event: Any) -> None:
    assert function.handler(event, CONTEXT)["status"] == 413


def test_largest_image_fits_into_one_request(function: ModuleType, endpoint: Any) -> None:
    request = {"image": base64.b64encode(bytes(function.MAX_IMAGE_BYTES)).decode()}
    will_answer(endpoint, request)
    assert function.handler(request, CONTEXT) == ANSWER


def test_image_of_one_byte_more_is_rejected(function: ModuleType) -> None:
    for more in (1, 2, 3):
        request = {"image": base64.b64encode(bytes(function.MAX_IMAGE_BYTES + more)).decode()}
        answer = function.handler(request, CONTEXT)
        assert (answer["status"], "more than 4194304 bytes" in answer["error"]) == (413, True)


def test_largest_request_is_passed_on_and_one_byte_more_is_rejected(
    function: ModuleType, endpoint: Any
) -> None:
    def request(length: int) -> list[dict[str, str]]:
        """Return a batch of this length as JSON."""
        batch = [{"image": "A" * 2_849_000}, {"image": "A" * 2_849_000}, {"url": "https://example.com/"}]
        batch[-1]["url"] += "x" * (length - len(json.dumps(batch)))
        return batch

    largest = request(function.MAX_REQUEST_BYTES)
    will_answer(endpoint, largest, [ANSWER] * 3)
    assert function.handler(largest, CONTEXT) == [ANSWER] * 3
    answer = function.handler(request(function.MAX_REQUEST_BYTES + 1), CONTEXT)
    assert (answer["status"], "has 5700001 bytes, but at most 5700000" in answer["error"]) == (413, True)


def test_endpoint_accepts_what_the_function_passes_on(function: ModuleType) -> None:
    assert function.MAX_REQUEST_BYTES < payload.MAX_BODY_BYTES
    assert function.MAX_BATCH == payload.MAX_IMAGES


def test_local_aws_has_the_limits_of_both_servers(function: ModuleType) -> None:
    assert invocations.MAX_BODY_BYTES == payload.MAX_BODY_BYTES
    assert function.MAX_REQUEST_BYTES < execution_environment.MAX_PAYLOAD_BYTES


def test_smoke_test_respects_the_limit_of_the_function(function: ModuleType) -> None:
    assert smoke_test.MAX_EVENT_IMAGE_BYTES <= function.MAX_IMAGE_BYTES
    assert smoke_test.MAX_BATCH_BYTES <= function.MAX_REQUEST_BYTES


REST_API = {
    "httpMethod": "POST",
    "requestContext": {"stage": "live"},
    "headers": {"Content-Type": "application/json"},
}
HTTP_API = {
    "version": "2.0",
    "requestContext": {"http": {"method": "POST"}},
    "headers": {"content-type": "application/json"},
}


@pytest.mark.parametrize("envelope", [pytest.param(REST_API, id="rest"), pytest.param(HTTP_API, id="http")])
@pytest.mark.parametrize("encoded", [pytest.param(False, id="plain"), pytest.param(True, id="base64")])
def test_json_over_http_gets_an_http_response(
    function: ModuleType, endpoint: Any, envelope: dict[str, Any], encoded: bool
) -> None:
    will_answer(endpoint, URL)
    body = json.dumps(URL)
    if encoded:
        body = base64.b64encode(body.encode()).decode()
    answer = function.handler({**envelope, "body": body, "isBase64Encoded": encoded}, CONTEXT)
    assert answer["statusCode"] == 200
    assert answer["headers"] == {"content-type": "application/json"}
    assert json.loads(answer["body"]) == ANSWER


def test_image_bytes_over_http_become_base64(function: ModuleType, endpoint: Any) -> None:
    picture = base64.b64encode(b"picture").decode()
    will_answer(endpoint, {"image": picture})
    event = {**REST_API, "headers": {"Content-Type": "image/jpeg"}, "body": picture, "isBase64Encoded": True}
    assert json.loads(function.handler(event, CONTEXT)["body"]) == ANSWER


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"body": None}, "no body", id="no body"),
        pytest.param({"body": "{"}, "not valid JSON", id="incomplete JSON"),
        pytest.param({"body": "[" * 40_000}, "not valid JSON", id="deeply nested"),
        pytest.param({"body": "%", "isBase64Encoded": True}, "not valid JSON", id="broken base64"),
        pytest.param({"body": "{}", "headers": None}, "has 0 of the keys", id="no headers"),
        pytest.param({"body": "{}", "headers": ["a"]}, "has 0 of the keys", id="headers as a list"),
        pytest.param(
            {"body": "{}", "headers": {"Content-Type": 1}}, "has 0 of the keys", id="a number as header"
        ),
        pytest.param({"body": '{"s3": "s3://b/\\ud800"}'}, "surrogate", id="lone surrogate"),
        pytest.param({"body": "x", "headers": {"content-type": "image/png"}}, "as text", id="image as text"),
    ],
)
def test_invalid_http_request_gets_a_400(
    function: ModuleType, endpoint: Any, change: dict[str, Any], sentence: str
) -> None:
    answer = function.handler({**HTTP_API, **change}, CONTEXT)
    assert answer["statusCode"] == 400
    assert sentence in json.loads(answer["body"])["error"]


def test_rejection_of_the_endpoint_keeps_status_and_message(function: ModuleType, endpoint: Any) -> None:
    original = json.dumps({"error": "The file is not a picture."})
    will_fail(endpoint, "ModelError", OriginalStatusCode=415, OriginalMessage=original)
    assert function.handler(URL, CONTEXT) == {"error": "The file is not a picture.", "status": 415}


@pytest.mark.parametrize("original", ["<html>", "[]", '{"error": {"a": 1}}', '{"message": "x"}'])
def test_rejection_without_a_message_gets_a_general_one(
    function: ModuleType, endpoint: Any, original: str
) -> None:
    will_fail(endpoint, "ModelError", OriginalStatusCode=400, OriginalMessage=original)
    assert function.handler(URL, CONTEXT) == {"error": "The model can't use this input.", "status": 400}


@pytest.mark.parametrize(
    ("code", "members", "status"),
    [
        pytest.param("ValidationError", {}, 502, id="no such endpoint"),
        pytest.param("AccessDeniedException", {}, 502, id="not allowed"),
        pytest.param("InternalFailure", {}, 502, id="SageMaker"),
        pytest.param("ThrottlingException", {}, 503, id="throttled"),
        pytest.param("ServiceUnavailable", {}, 503, id="unavailable"),
        pytest.param("ModelNotReadyException", {}, 503, id="not ready"),
        pytest.param("ServiceUnavailableException", {}, 503, id="unavailable, by its other name"),
    ],
)
def test_error_of_the_endpoint_contains_no_details_of_aws(
    function: ModuleType, endpoint: Any, code: str, members: dict[str, Any], status: int
) -> None:
    will_fail(endpoint, code, **members)
    answer = function.handler(URL, CONTEXT)
    assert answer["status"] == status
    assert not any(word in answer["error"] for word in ("arn:", "dog-breeds", "Trace", code))


def test_failed_model_is_invoked_again(function: ModuleType, endpoint: Any) -> None:
    for status in (500, 0):  # 0: it gave no answer
        will_fail(endpoint, "ModelError", OriginalStatusCode=status, OriginalMessage="Trace")
    will_answer(endpoint, URL)
    assert function.handler(URL, CONTEXT) == ANSWER


def test_model_that_always_fails_is_a_502(
    function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in (*function.RETRY_PAUSES, 0):
        will_fail(endpoint, "ModelError", OriginalStatusCode=500, OriginalMessage="Trace")
    answer = function.handler(URL, CONTEXT)
    assert answer == {"error": "The model could not process this request.", "status": 502}
    assert json.loads(capsys.readouterr().out)["cause"] == "ModelError 500"
    endpoint.assert_no_pending_responses()


@pytest.mark.parametrize("original", [503, 429])
def test_full_queue_is_an_immediate_503_with_retry_after(
    function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str], original: int
) -> None:
    will_fail(endpoint, "ModelError", OriginalStatusCode=original, OriginalMessage='{"code": 503}')
    answer = function.handler({**HTTP_API, "body": json.dumps(URL)}, CONTEXT)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "1")
    assert json.loads(answer["body"]) == {"error": "The model is busy. Try again shortly."}
    assert json.loads(capsys.readouterr().out)["cause"] == f"ModelError {original}"
    endpoint.assert_no_pending_responses()


def test_only_a_503_has_retry_after(function: ModuleType, endpoint: Any) -> None:
    will_fail(endpoint, "ValidationError")
    answer = function.handler({**HTTP_API, "body": json.dumps(URL)}, CONTEXT)
    assert answer["statusCode"] == 502
    assert answer["headers"].keys() == {"content-type"}


def test_empty_413_gets_a_message(function: ModuleType, endpoint: Any) -> None:
    will_fail(endpoint, "ModelError", OriginalStatusCode=413, OriginalMessage="")
    answer = function.handler(URL, CONTEXT)
    assert answer["status"] == 413
    assert "too large" in answer["error"]


def test_model_that_fails_late_is_not_invoked_again(
    function: ModuleType, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "RETRY_SECONDS", -1)
    will_fail(endpoint, "ModelError", OriginalStatusCode=500, OriginalMessage="Trace")
    assert function.handler(URL, CONTEXT)["status"] == 502


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://runtime.sagemaker"),
        EndpointConnectionError(endpoint_url="https://runtime.sagemaker"),
    ],
    ids=["timeout", "no connection"],
)
def test_endpoint_that_does_not_respond_is_a_503(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    raise_from_client(monkeypatch, function, error)
    answer = function.handler(URL, CONTEXT)
    assert answer == {"error": "The model did not respond. Try again shortly.", "status": 503}


def test_response_that_is_not_json_is_a_502(function: ModuleType, endpoint: Any) -> None:
    will_answer(endpoint, URL, b"<html>")
    assert function.handler(URL, CONTEXT)["status"] == 502


def test_bug_is_a_500_without_a_stack_trace(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_from_client(monkeypatch, function, KeyError("secret"))
    answer = function.handler({**HTTP_API, "body": json.dumps(URL)}, CONTEXT)
    assert answer["statusCode"] == 500
    assert "KeyError" not in answer["body"]
    line = capsys.readouterr().out
    assert json.loads(line)["cause"].startswith("KeyError at ")
    assert "secret" not in line


def test_one_line_is_logged_without_request_data(
    function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"url": "https://example.com/dog.jpg?token=secret"}
    will_answer(endpoint, request)
    function.handler(request, CONTEXT)
    [line] = capsys.readouterr().out.splitlines()
    logged = json.loads(line)
    assert logged.keys() == {"status", "milliseconds", "request_id"}
    assert (logged["status"], logged["request_id"]) == (200, CONTEXT.aws_request_id)
    assert logged["milliseconds"] > 0


def test_aws_error_is_logged(function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str]) -> None:
    will_fail(endpoint, "ThrottlingException")
    function.handler(URL, CONTEXT)
    assert json.loads(capsys.readouterr().out)["cause"] == "ThrottlingException"


def test_missing_endpoint_name_fails_the_initialization(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENDPOINT_NAME")
    with pytest.raises(RuntimeError, match="ENDPOINT_NAME is not set"):
        import_handler()


def test_client_times_out_before_the_function(function: ModuleType) -> None:
    config = function.runtime.meta.config
    attempts = config.retries["total_max_attempts"]
    longest = function.RETRY_SECONDS + max(function.RETRY_PAUSES)
    assert longest + attempts * (config.connect_timeout + config.read_timeout) < 60


def test_function_needs_only_boto3_and_the_standard_library() -> None:
    imported = set()
    for node in ast.walk(ast.parse(HANDLER.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= {"boto3", "botocore", "image_classifier"} | sys.stdlib_module_names
