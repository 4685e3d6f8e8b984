import ast
import base64
import importlib.util
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

HANDLER = Path(__file__).parents[3] / "include" / "lambda_function" / "handler.py"
ANSWER = {"predictions": [{"label": "beagle", "probability": 0.9}], "model": "7"}
URL = {"url": "https://example.com/dog.jpg"}
CONTEXT = SimpleNamespace(aws_request_id="11112222-3333-4444-5555-666677778888")


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The handler's module as Lambda imports it: alone, from its file."""
    monkeypatch.setenv("ENDPOINT_NAME", "dog-breeds")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return import_handler()


@pytest.fixture
def endpoint(function: ModuleType) -> Any:
    """The endpoint behind the function's own client; a call nobody expected fails the test."""
    with Stubber(function.runtime) as stubber:
        yield stubber


def import_handler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    ],
)
def test_a_request_is_passed_on_as_it_is_and_the_answer_returned(
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
        pytest.param({"url": 7}, "must be a text", id="url is a number"),
        pytest.param({"url": ""}, "must be a text", id="url is empty"),
        pytest.param({"url": "file:///etc/passwd"}, "http:// or https://", id="file scheme"),
        pytest.param({"url": "https://"}, "http:// or https://", id="url without host"),
        pytest.param({"url": "https://[broken/a"}, "http:// or https://", id="url that can't be parsed"),
        pytest.param({"url": "https://a b/c"}, "http:// or https://", id="url with a space"),
        pytest.param({"url": "https://a/" + "b" * 2048}, "may have at most 2048", id="long url"),
        pytest.param({"image": "äöü"}, "valid base64", id="image is not ASCII"),
        pytest.param({"image": "abc"}, "valid base64", id="image lacks padding"),
        pytest.param({"image": "data:image/png;base64,AAAA"}, "base64 alone", id="data url"),
        pytest.param({"s3": "https://bucket/key"}, "s3://bucket/key", id="s3 with another scheme"),
        pytest.param({"s3": "s3://bucket"}, "s3://bucket/key", id="s3 without key"),
        pytest.param({"s3": "s3://bucket/\ud800"}, "surrogate", id="half of a character in s3"),
        pytest.param({"url": "https://a/\ud800"}, "surrogate", id="half of a character in a url"),
        pytest.param({"\ud800": "x"}, "unknown keys: ?", id="half of a character in a key"),
        pytest.param([], "this one holds 0", id="empty batch"),
        pytest.param([URL] * 17, "this one holds 17", id="batch too long"),
        pytest.param([URL, {"url": "ftp://x"}], "Picture 2 of the batch", id="second of a batch"),
        pytest.param([[URL]], "Picture 1 of the batch must be a JSON object", id="nested batch"),
    ],
)
def test_a_wrong_request_is_refused_before_it_costs_a_call(
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
def test_what_lambda_could_not_carry_is_refused_as_too_large(
    function: ModuleType, endpoint: Any, event: Any
) -> None:
    assert function.handler(event, CONTEXT)["status"] == 413


def test_the_largest_picture_fits_into_one_request(function: ModuleType, endpoint: Any) -> None:
    request = {"image": base64.b64encode(bytes(function.MAX_IMAGE_BYTES)).decode()}
    will_answer(endpoint, request)
    assert function.handler(request, CONTEXT) == ANSWER


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
def test_json_over_http_is_answered_over_http(
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


def test_the_bytes_of_a_picture_over_http_become_an_image(function: ModuleType, endpoint: Any) -> None:
    picture = base64.b64encode(b"picture").decode()
    will_answer(endpoint, {"image": picture})
    event = {**REST_API, "headers": {"Content-Type": "image/jpeg"}, "body": picture, "isBase64Encoded": True}
    assert json.loads(function.handler(event, CONTEXT)["body"]) == ANSWER


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"body": None}, "no body", id="no body"),
        pytest.param({"body": "{"}, "not valid JSON", id="half JSON"),
        pytest.param({"body": "[" * 100_000}, "not valid JSON", id="deeply nested"),
        pytest.param({"body": "%", "isBase64Encoded": True}, "not valid JSON", id="broken base64"),
        pytest.param({"body": "{}", "headers": None}, "has 0 of the keys", id="no headers"),
        pytest.param({"body": "{}", "headers": ["a"]}, "has 0 of the keys", id="headers as a list"),
        pytest.param(
            {"body": "{}", "headers": {"Content-Type": 1}}, "has 0 of the keys", id="a number as header"
        ),
        pytest.param({"body": '{"s3": "s3://b/\\ud800"}'}, "surrogate", id="half of a character"),
        pytest.param(
            {"body": "x", "headers": {"content-type": "image/png"}}, "as text", id="picture as text"
        ),
    ],
)
def test_a_wrong_http_request_gets_a_400(
    function: ModuleType, endpoint: Any, change: dict[str, Any], sentence: str
) -> None:
    answer = function.handler({**HTTP_API, **change}, CONTEXT)
    assert answer["statusCode"] == 400
    assert sentence in json.loads(answer["body"])["error"]


def test_the_endpoints_refusal_keeps_status_and_sentence(function: ModuleType, endpoint: Any) -> None:
    original = json.dumps({"error": "The file is not a picture."})
    will_fail(endpoint, "ModelError", OriginalStatusCode=415, OriginalMessage=original)
    assert function.handler(URL, CONTEXT) == {"error": "The file is not a picture.", "status": 415}


@pytest.mark.parametrize("original", ["<html>", "[]", '{"error": {"a": 1}}', '{"message": "x"}'])
def test_a_refusal_without_a_sentence_gets_a_plain_one(
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
def test_an_error_of_the_endpoint_tells_the_caller_nothing_of_aws(
    function: ModuleType, endpoint: Any, code: str, members: dict[str, Any], status: int
) -> None:
    will_fail(endpoint, code, **members)
    answer = function.handler(URL, CONTEXT)
    assert answer["status"] == status
    assert not any(word in answer["error"] for word in ("arn:", "dog-breeds", "Trace", code))


def test_a_model_that_fails_is_asked_again(function: ModuleType, endpoint: Any) -> None:
    for status in (500, 0):  # 0: it gave no answer
        will_fail(endpoint, "ModelError", OriginalStatusCode=status, OriginalMessage="Trace")
    will_answer(endpoint, URL)
    assert function.handler(URL, CONTEXT) == ANSWER


def test_a_model_that_always_fails_is_a_502(
    function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in (*function.RETRY_PAUSES, 0):
        will_fail(endpoint, "ModelError", OriginalStatusCode=500, OriginalMessage="Trace")
    answer = function.handler(URL, CONTEXT)
    assert answer == {"error": "The model could not answer this request.", "status": 502}
    assert json.loads(capsys.readouterr().out)["cause"] == "ModelError 500"
    endpoint.assert_no_pending_responses()


@pytest.mark.parametrize("original", [503, 429])
def test_a_full_queue_is_a_503_at_once_that_says_when_to_retry(
    function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str], original: int
) -> None:
    will_fail(endpoint, "ModelError", OriginalStatusCode=original, OriginalMessage='{"code": 503}')
    answer = function.handler({**HTTP_API, "body": json.dumps(URL)}, CONTEXT)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "1")
    assert json.loads(answer["body"]) == {"error": "The model is busy; try again shortly."}
    assert json.loads(capsys.readouterr().out)["cause"] == f"ModelError {original}"
    endpoint.assert_no_pending_responses()


def test_only_a_503_says_when_to_retry(function: ModuleType, endpoint: Any) -> None:
    will_fail(endpoint, "ValidationError")
    answer = function.handler({**HTTP_API, "body": json.dumps(URL)}, CONTEXT)
    assert answer["statusCode"] == 502
    assert answer["headers"].keys() == {"content-type"}


def test_a_413_without_a_body_says_what_is_too_large(function: ModuleType, endpoint: Any) -> None:
    will_fail(endpoint, "ModelError", OriginalStatusCode=413, OriginalMessage="")
    answer = function.handler(URL, CONTEXT)
    assert answer["status"] == 413
    assert "too large" in answer["error"]


def test_a_model_that_fails_late_is_not_asked_again(
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
def test_an_endpoint_that_does_not_answer_is_a_503(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    raise_from_client(monkeypatch, function, error)
    answer = function.handler(URL, CONTEXT)
    assert answer == {"error": "The model did not answer; try again shortly.", "status": 503}


def test_an_answer_that_is_not_json_is_a_502(function: ModuleType, endpoint: Any) -> None:
    will_answer(endpoint, URL, b"<html>")
    assert function.handler(URL, CONTEXT)["status"] == 502


def test_a_bug_is_a_500_without_its_stack(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raise_from_client(monkeypatch, function, KeyError("secret"))
    answer = function.handler({**HTTP_API, "body": json.dumps(URL)}, CONTEXT)
    assert answer["statusCode"] == 500
    assert "KeyError" not in answer["body"]
    line = capsys.readouterr().out
    assert json.loads(line)["cause"].startswith("KeyError at ")
    assert "secret" not in line


def test_one_line_is_logged_and_nothing_of_the_request(
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


def test_an_aws_error_is_named_in_the_log(
    function: ModuleType, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    will_fail(endpoint, "ThrottlingException")
    function.handler(URL, CONTEXT)
    assert json.loads(capsys.readouterr().out)["cause"] == "ThrottlingException"


def test_a_missing_endpoint_name_stops_the_environment_from_starting(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENDPOINT_NAME")
    with pytest.raises(RuntimeError, match="ENDPOINT_NAME must name"):
        import_handler()


def test_the_client_gives_up_before_the_functions_timeout(function: ModuleType) -> None:
    config = function.runtime.meta.config
    attempts = config.retries["total_max_attempts"]
    longest = function.RETRY_SECONDS + max(function.RETRY_PAUSES)
    assert longest + attempts * (config.connect_timeout + config.read_timeout) < 60


def test_the_function_needs_boto3_and_the_standard_library_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(HANDLER.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= {"boto3", "botocore"} | sys.stdlib_module_names
