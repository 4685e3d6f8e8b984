"""The Lambda function in front of the endpoint: check a request, invoke the endpoint, and return plain JSON.

The file is deployed with ``image_classifier/request_body.py``, so it imports only that, boto3 and the standard library.

An event is one image or a list of up to 16 images, each given in exactly one way, with ``top_k`` for another number of
classes than five::

    {"url": "https://example.com/dog.jpg"}
    {"image": "<base64 of an image>", "top_k": 1}
    {"s3": "s3://bucket/key"}

or an API Gateway or function URL event whose body is that JSON, the bytes of an image, or a form with a file. A request
that can be rejected without the endpoint is rejected before it costs an invocation.
"""

from __future__ import annotations

import base64
import json
import os
import time
import traceback
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from image_classifier import request_body

ENDPOINT_VARIABLE = "ENDPOINT_NAME"

MAX_BATCH = 16
MAX_URL_CHARACTERS = 2048
MAX_S3_CHARACTERS = 5 + 63 + 1 + 1024
"""``s3://``, the longest bucket name, a slash and the longest key in S3."""
MAX_IMAGE_BYTES = 4 * 1024 * 1024
MAX_REQUEST_BYTES = 5_700_000
"""Lambda's limit is 6,291,556 bytes per event, which includes the envelope of a gateway."""

RETRY_PAUSES = (0.05, 0.1, 0.2)
"""Seconds before a failed model is invoked again: during a traffic shift, a healthy model may handle the retry."""
RETRY_SECONDS = 3.0
"""A slower failure is not retried, so that the function ends before its timeout."""

RETRY_AFTER_SECONDS = 1
"""When a caller may retry after status 503. A full queue of short requests drains within a second."""

SOURCES = ("url", "image", "s3")
TOP_K = "top_k"
WRAPPING_CHARACTERS = 200_000
"""What line ends and a ``data:`` prefix may add to an image of the largest size."""

BUSY_STATUSES = (429, 503)
"""The status of a model server whose queue is full."""
THROTTLED_OR_BUSY = {
    "InternalDependencyException",
    "ModelNotReadyException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}

if not os.environ.get(ENDPOINT_VARIABLE):
    # Raised during initialization, so that an invalid configuration fails before an alias routes traffic to it.
    raise RuntimeError(
        f"The environment variable {ENDPOINT_VARIABLE} is not set. Set it to the SageMaker endpoint."
    )

# Created during initialization, so that with provisioned concurrency no caller waits for it.
# The worst case is RETRY_SECONDS and 2 x (2 s + 25 s) with short pauses, less than the function's 60 seconds.
runtime = boto3.client(
    "sagemaker-runtime",
    config=Config(connect_timeout=2, read_timeout=25, retries={"mode": "standard", "total_max_attempts": 2}),
)


class Refused(Exception):
    """A request without a prediction, with an HTTP status and a message for the caller."""

    def __init__(self, status: int, sentence: str, cause: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        # JSON can contain a lone surrogate, which would fail when the response is encoded.
        self.sentence = sentence.encode(errors="replace").decode()
        self.cause = cause
        """For the log only: the cause of the error, without data of the caller."""


def handler(event: Any, context: Any) -> Any:
    """Handle one event.

    For a direct invocation, return the endpoint's JSON (``{"predictions": [{"label", "probability"}], "model"}``, or a
    list of them for a batch) or ``{"error": <sentence>, "status": <HTTP status>}``. For an API Gateway or function URL
    event, wrap it in ``{"statusCode", "headers", "body"}``; add a ``Retry-After`` header to status 503.
    """
    started = time.monotonic()
    # All HTTP sources (REST and HTTP API Gateway, function URL, load balancer) add this key to their events.
    over_http = isinstance(event, dict) and "requestContext" in event
    status, cause = 200, ""
    try:
        answer = ask_endpoint(check(read_http_body(event) if over_http else event))
    except Refused as refused:
        status, cause = refused.status, refused.cause
        answer = {"error": refused.sentence, "status": status}
    except Exception as error:
        status, cause = 500, describe_bug(error)
        answer = {"error": "Internal error. For details, see the log of the function.", "status": status}
    line = {
        "status": status,
        "milliseconds": round((time.monotonic() - started) * 1000, 1),
        "request_id": getattr(context, "aws_request_id", None),
    }
    print(json.dumps({**line, "cause": cause} if cause else line))
    if not over_http:
        return answer
    headers = {"content-type": "application/json"}
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return {
        "statusCode": status,
        "headers": headers,
        "body": json.dumps({"error": answer["error"]} if status != 200 else answer),
    }


def read_http_body(event: dict[str, Any]) -> Any:
    """Return the request of an HTTP event, as :func:`request_body.read` returns it.

    :raises Refused: If the body is empty, does not match its content type, or was not passed on as bytes.
    """
    given = event.get("headers")
    headers = {name.lower(): value for name, value in given.items()} if isinstance(given, dict) else {}
    content_type = str(headers.get("content-type") or "")
    body = event.get("body")
    if not body or not isinstance(body, str):
        raise Refused(400, "The request has no body. Send an image with an image/* content type, or JSON.")
    is_base64 = bool(event.get("isBase64Encoded"))
    try:
        content = base64.b64decode(body, validate=True) if is_base64 else body.encode(errors="replace")
    except ValueError:
        raise Refused(400, "The body is not valid JSON, nor the base64 that the event says it is.") from None
    try:
        kind = request_body.kind_of(content_type, content[:64])
        # A gateway that takes bytes for text has replaced those that are no UTF-8.
        if not is_base64 and (kind == "bytes" or (kind == "form" and "\ufffd" in body)):
            raise Refused(
                400,
                "The image arrived as text. Configure image/* and multipart/form-data as binary media types of the "
                "API, or send base64 in JSON.",
            )
        return request_body.read(content, content_type)
    except request_body.BadRequest as error:
        raise Refused(error.status, str(error)) from None


def check(request: Any) -> bytes:
    """Validate the request, and return the body for the endpoint.

    :raises Refused: With status 400, or 413 if the request is too large, and what to change.
    """
    if isinstance(request, list):
        if not 1 <= len(request) <= MAX_BATCH:
            raise Refused(400, f"The batch has {len(request)} images. Send 1 to {MAX_BATCH} images.")
        request = [
            check_item(item, f"Item {number} of the batch") for number, item in enumerate(request, start=1)
        ]
    else:
        request = check_item(request, "The request")
    body = json.dumps(request).encode()
    if len(body) > MAX_REQUEST_BYTES:
        raise Refused(413, f"The request has {len(body)} bytes, but at most {MAX_REQUEST_BYTES} are allowed.")
    return body


def check_item(item: Any, where: str) -> dict[str, Any]:
    """Return what to send to the endpoint for ``item``, which gives one image in one known way.

    :param where: The start of the error message.
    """
    names = ", ".join(f'"{name}"' for name in SOURCES)
    if not isinstance(item, dict):
        raise Refused(400, f"{where} must be a JSON object with exactly one of {names}.")
    unknown = [str(key)[:40] for key in item if key not in (*SOURCES, TOP_K)]
    if unknown:
        raise Refused(
            400,
            f'{where} has unknown keys: {", ".join(unknown[:5])}. Give one of {names}, and optionally "{TOP_K}".',
        )
    given = [source for source in SOURCES if source in item]
    if len(given) != 1:
        raise Refused(400, f"{where} has {len(given)} of the keys {names}. Give exactly one.")
    top_k = item.get(TOP_K, 1)
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise Refused(400, f'{where}: "{TOP_K}" must be a whole number of at least 1.')
    [source] = given
    value = item[source]
    if source == "image" and isinstance(value, bytes):
        return {**item, source: check_image(value, where)}
    if not isinstance(value, str) or not value:
        raise Refused(400, f'{where}: "{source}" must be a non-empty string.')
    if not is_unicode(value):
        raise Refused(400, f'{where}: "{source}" contains a lone surrogate, which is not a valid character.')
    if source == "image":
        return {**item, source: check_image(value, where)}
    {"url": check_url, "s3": check_s3}[source](value, where)
    return item


def is_unicode(text: str) -> bool:
    """Return whether the text can be encoded; JSON can contain lone surrogates, such as ``"\\ud800"``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_url(url: str, where: str) -> None:
    """Check that ``url`` is an http or https URL; the endpoint decides which hosts are allowed."""
    if len(url) > MAX_URL_CHARACTERS:
        raise Refused(
            400, f'{where}: "url" has {len(url)} characters, but may have at most {MAX_URL_CHARACTERS}.'
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise Refused(400, f'{where}: "url" must start with http:// or https://.')


def check_image(image: str | bytes, where: str) -> str:
    """Return an image of at most ``MAX_IMAGE_BYTES`` as plain base64; the endpoint checks the rest."""
    # Four characters encode three bytes. Check the size before decoding, which needs memory.
    size = len(image) if isinstance(image, bytes) else len(image) * 3 // 4 - WRAPPING_CHARACTERS
    if size > MAX_IMAGE_BYTES + 2:
        raise Refused(413, f'{where}: "image" has more than {MAX_IMAGE_BYTES} bytes. Send a smaller image.')
    try:
        content = image if isinstance(image, bytes) else request_body.decode_base64(image)
    except request_body.BadRequest as error:
        raise Refused(error.status, f"{where}: {error}") from None
    if len(content) > MAX_IMAGE_BYTES:
        raise Refused(413, f'{where}: "image" has more than {MAX_IMAGE_BYTES} bytes. Send a smaller image.')
    return base64.b64encode(content).decode()


def check_s3(uri: str, where: str) -> None:
    """Check that ``uri`` is an S3 URI of an object: ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key or len(uri) > MAX_S3_CHARACTERS:
        raise Refused(400, f'{where}: "s3" must be the URI of an object, such as s3://bucket/key.')


def ask_endpoint(body: bytes) -> Any:
    """Return the endpoint's response to a valid body.

    :raises Refused: With the endpoint's status and message if it rejected the request (4xx); with 503 if it is
        throttled, its queue is full, or it times out; with 502 for anything else.
    """
    try:
        return json.loads(invoke_endpoint(body)["Body"].read())
    except ClientError as error:
        raise explain(error) from None
    except (ConnectionError, HTTPClientError) as error:
        # Connections that are refused, reset or timed out, including a timeout while the response is read.
        raise Refused(503, "The model did not respond. Try again shortly.", type(error).__name__) from None
    except (BotoCoreError, ValueError) as error:
        raise Refused(502, "The response of the model could not be read.", type(error).__name__) from None


def invoke_endpoint(body: bytes) -> dict[str, Any]:
    """Return SageMaker's response; retry a few times if the model fails."""
    invoke = partial(
        runtime.invoke_endpoint,
        EndpointName=os.environ[ENDPOINT_VARIABLE],
        ContentType="application/json",
        Accept="application/json",
        Body=body,
    )
    started = time.monotonic()
    for pause in RETRY_PAUSES:
        try:
            return invoke()
        except ClientError as error:
            if not is_failure_of_model(error) or time.monotonic() - started > RETRY_SECONDS:
                raise
            time.sleep(pause)
    return invoke()


def is_failure_of_model(error: ClientError) -> bool:
    """Return whether the model failed, or did not respond, on a request that it did not reject.

    A full queue is not a failure: an immediate retry would only keep it full.
    """
    original = error.response.get("OriginalStatusCode")
    refused = isinstance(original, int) and (400 <= original < 500 or original in BUSY_STATUSES)
    return error.response.get("Error", {}).get("Code") == "ModelError" and not refused


def explain(error: ClientError) -> Refused:
    """Convert an error of SageMaker to one that the caller may see."""
    code = error.response.get("Error", {}).get("Code", "")
    if code in THROTTLED_OR_BUSY:
        return Refused(503, "The model is busy. Try again shortly.", code)
    original = error.response.get("OriginalStatusCode")
    if code == "ModelError" and original in BUSY_STATUSES:
        return Refused(503, "The model is busy. Try again shortly.", f"{code} {original}")
    if code == "ModelError" and original == 413 and not error.response.get("OriginalMessage"):
        # The limit of the model server, which responds with an empty body.
        return Refused(
            413, "The request is too large for the model. Send a smaller image.", f"{code} {original}"
        )
    if code == "ModelError" and not is_failure_of_model(error):
        return Refused(original, sentence_of(error.response.get("OriginalMessage", "")), f"{code} {original}")
    cause = f"{code} {original}" if original else code
    return Refused(502, "The model could not process this request.", cause)


def sentence_of(message: str) -> str:
    """Return the message in the endpoint's ``{"error": <message>}``, or a general one."""
    try:
        sentence = json.loads(message)["error"]
    except (ValueError, TypeError, KeyError):
        sentence = None
    return sentence if isinstance(sentence, str) and sentence else "The model can't use this input."


def describe_bug(error: Exception) -> str:
    """Return the type and code locations of an unexpected error, but not its message, which may contain user data."""
    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} at {' > '.join(places)}"
