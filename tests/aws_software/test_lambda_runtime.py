"""Functions come to the same end, and leave the same log, by AWS's runtime client and by local AWS's worker."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.aws_software.lambda_runtimes import Function, by_aws, by_local_aws
from tests.include.lambda_function import shipped


def returning(expression: str) -> str:
    return f"def handler(event, context):\n    return {expression}\n"


ECHO = returning("event")
RAISING = "def handler(event, context):\n    fail(event)\n\ndef fail(event):\n    raise KeyError('color')\n"
LOGGING = """
import logging
def handler(event, context):
    print("seen", event)
    logging.warning("careful")
"""
CONTEXT = returning("[context.function_name, context.memory_limit_in_mb, context.log_stream_name]")


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(Function(ECHO, (b"{}", b"null", b"1", b'["\\u00e9", 1.5]', b"{}")), id="events"),
        pytest.param(Function(returning("'é€𝄞'")), id="text outside ASCII"),
        pytest.param(Function(returning("'é€𝄞'"), runtime="python3.11"), id="text outside ASCII, escaped"),
        pytest.param(Function(returning("b'\\xff\\x00'")), id="bytes"),
        pytest.param(Function(returning("float('nan')")), id="an answer of NaN"),
        pytest.param(Function(returning("'x' * 6_000_000")), id="nearly six megabytes"),
        pytest.param(Function(CONTEXT), id="context"),
        pytest.param(Function(LOGGING, (b"{}", b"{}")), id="log"),
        pytest.param(Function(RAISING, (b"{}", b"{}")), id="exception"),
        pytest.param(Function("def handler(event, context):\n    raise OSError\n"), id="without a message"),
        pytest.param(Function("def handler(event, context):\n    raise OSError('é')\n"), id="message"),
        pytest.param(Function(returning("{1, 2}")), id="not serializable"),
        pytest.param(Function("import sys\ndef handler(event, context):\n    sys.exit(3)\n"), id="exit"),
        pytest.param(Function("import os\ndef handler(event, context):\n    os._exit(0)\n"), id="exit 0"),
        pytest.param(Function("raise OSError('no model')"), id="start fails"),
        pytest.param(Function("import nowhere"), id="module missing"),
        pytest.param(Function("x = 1\ndef handler(\n"), id="syntax error"),
        pytest.param(Function("x = 1\n"), id="handler missing"),
        pytest.param(Function(ECHO, handler="nodots"), id="no dot"),
        pytest.param(Function(ECHO, handler="sys.exit"), id="built-in module"),
        pytest.param(Function(ECHO, handler="other.handler"), id="file missing"),
    ],
)
def test_a_function_comes_to_the_same_end(awslambdaric: Path, function: Function) -> None:
    assert by_local_aws(function) == by_aws(awslambdaric, function)


def test_half_a_character_ends_both_without_an_answer(awslambdaric: Path) -> None:
    function = Function(returning("chr(0xD800)"))
    for result in (by_aws(awslambdaric, function), by_local_aws(function)):
        assert (result.answers, result.status) == ([], 1)
        assert "UnicodeEncodeError" in result.log


def test_an_event_of_nan_is_not_read(awslambdaric: Path) -> None:
    function = Function(ECHO, (b"NaN",))
    for result in (by_aws(awslambdaric, function), by_local_aws(function)):
        [(kind, error)] = result.answers
        assert (kind, error["errorType"]) == ("error", "Runtime.UnmarshalError")
        assert error["errorMessage"].startswith("Unable to unmarshal input: ")


def test_an_answer_that_is_too_large_ends_aws_s_client(awslambdaric: Path) -> None:
    result = by_aws(awslambdaric, Function(returning("'x' * 6_300_000")))
    assert (result.answers, result.status) == ([], 1)
    assert "Failed to post handler success response. Http response code: 413" in result.log


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of what answers for SageMaker's runtime: predictions, or the error that the image asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wanted = base64.b64decode(request["image"]).decode() if isinstance(request, dict) else ""
            status, code, document = (
                200,
                "",
                {"predictions": [{"label": "é", "probability": 1.0}], "model": "7"},
            )
            if wanted.isdecimal():
                sentence = json.dumps({"error": "No image é."})
                status, code = 424, "ModelError"
                document = {"OriginalStatusCode": int(wanted), "OriginalMessage": sentence, "Message": "arn:"}
            elif wanted not in ("", "ok"):
                status, code, document = 400, wanted, {"Message": "arn:"}
            body = json.dumps(document).encode()
            self.send_response(status)
            if code:
                self.send_header("x-amzn-ErrorType", code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def image(text: str) -> dict[str, str]:
    return {"image": base64.b64encode(text.encode()).decode()}


def over_http(body: object) -> dict[str, object]:
    event = {"version": "2.0", "requestContext": {"http": {"method": "POST"}}, "headers": {}}
    return {**event, "body": body, "isBase64Encoded": False}


EVENTS = {
    "a bare event": image("ok"),
    "a batch": [image("ok")] * 2,
    "a batch of 17": [image("ok")] * 17,
    "an integer": 7,
    "null": None,
    "a lone surrogate": {"url": "http://\ud800"},
    "JSON over HTTP": over_http(json.dumps(image("400"))),
    "not JSON over HTTP": over_http("{"),
    "no body": over_http(None),
    "the model refuses it": image("400"),
    "the model fails": image("500"),
    "the queue is full": over_http(json.dumps(image("503"))),
    "throttled": image("ThrottlingException"),
    "no such endpoint": image("ValidationError"),
}


@pytest.fixture(scope="module")
def answers(awslambdaric: Path, endpoint: str) -> dict[str, object]:
    """What the product's function answered to each event, by AWS's client."""
    variables = {"ENDPOINT_NAME": "dogs", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint}
    events = [json.dumps(event).encode() for event in EVENTS.values()]
    function = Function(shipped.source(), events, variables=variables)
    of_aws, local = by_aws(awslambdaric, function), by_local_aws(function)
    assert local == of_aws
    return {name: json.loads(body) for name, (_, body) in zip(EVENTS, of_aws.answers, strict=True)}


def test_the_function_answers_by_aws_s_client_as_documented(answers: dict[str, object]) -> None:
    predictions = {"predictions": [{"label": "é", "probability": 1.0}], "model": "7"}
    assert answers["a bare event"] == predictions
    statuses = {
        name: answer.get("statusCode", answer.get("status", 200))
        for name, answer in answers.items()
        if isinstance(answer, dict)
    }
    assert statuses == {
        "a bare event": 200,
        "a batch": 200,
        "a batch of 17": 400,
        "an integer": 400,
        "null": 400,
        "a lone surrogate": 400,
        "JSON over HTTP": 400,
        "not JSON over HTTP": 400,
        "no body": 400,
        "the model refuses it": 400,
        "the model fails": 502,
        "the queue is full": 503,
        "throttled": 503,
        "no such endpoint": 502,
    }


def test_a_function_without_its_endpoint_does_not_start(awslambdaric: Path) -> None:
    function = Function(shipped.source())
    result = by_aws(awslambdaric, function)
    assert by_local_aws(function) == result
    [(kind, error)] = result.answers
    assert (kind, error["errorType"], result.status) == ("init error", "RuntimeError", 1)
