"""The Lambda function in front of the endpoint: checks a request, asks the endpoint, answers in plain JSON.

It is shipped alone, so it imports boto3 and the standard library and nothing of this repository.

An event is one picture or a list of up to 16, each named in exactly one way::

    {"url": "https://example.com/dog.jpg"}
    {"image": "<base64 of a JPEG, PNG or WebP file>"}
    {"s3": "s3://bucket/key"}

or an API Gateway or function URL event whose body is that JSON, or the bytes of a picture with an ``image/*``
content type. Whatever can be refused without the endpoint is refused before it costs an invocation.
"""

from __future__ import annotations

import base64
import binascii
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

ENDPOINT_VARIABLE = "ENDPOINT_NAME"

MAX_BATCH = 16
MAX_URL_CHARACTERS = 2048
MAX_S3_CHARACTERS = 5 + 63 + 1 + 1024
"""``s3://``, the longest bucket name, a slash and the longest key that S3 allows."""
MAX_IMAGE_BYTES = 4 * 1024 * 1024
MAX_REQUEST_BYTES = 5_700_000
"""Lambda's own limit is 6,291,556 bytes an event, of which a gateway's envelope takes a part."""

RETRY_PAUSES = (0.05, 0.1, 0.2)
"""Seconds before a model that failed is asked again: while a release shifts the traffic, a sound one may answer."""
RETRY_SECONDS = 3.0
"""A failure that takes longer is the answer, so that the function ends in its time."""

RETRY_AFTER_SECONDS = 1
"""When a caller who got a 503 may try again; a full queue of short requests drains within a second."""

SOURCES = ("url", "image", "s3")
BUSY_STATUSES = (429, 503)
"""What a model's front answers whose queue is full."""
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
    # Raised while the environment starts: a wrong configuration shows before an alias sends it traffic.
    raise RuntimeError(f"The environment variable {ENDPOINT_VARIABLE} must name the SageMaker endpoint.")

# Made while the environment starts, so that provisioned concurrency pays for it and no caller waits.
# At the worst, RETRY_SECONDS and 2 x (2 s + 25 s) with short pauses: within the function's 60 seconds.
runtime = boto3.client(
    "sagemaker-runtime",
    config=Config(connect_timeout=2, read_timeout=25, retries={"mode": "standard", "total_max_attempts": 2}),
)


class Refused(Exception):
    """A request that gets no prediction: an HTTP status, and a sentence for the caller."""

    def __init__(self, status: int, sentence: str, cause: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        # Half a character of the caller's, which JSON can spell, would fail where the answer is encoded.
        self.sentence = sentence.encode(errors="replace").decode()
        self.cause = cause
        """For the log alone: what the operator needs, without anything the caller sent."""


def handler(event: Any, context: Any) -> Any:
    """Answer one event.

    A bare event gets the endpoint's JSON (``{"predictions": [{"label", "probability"}], "model"}``, or a list
    of them for a batch) or ``{"error": <sentence>, "status": <HTTP status>}``. An API Gateway or function URL
    event gets ``{"statusCode", "headers", "body"}`` around the same; with status 503, a ``Retry-After`` header.
    """
    started = time.monotonic()
    # Names that every HTTP front (REST and HTTP API Gateway, function URL, load balancer) puts in its events.
    over_http = isinstance(event, dict) and "requestContext" in event
    status, cause = 200, ""
    try:
        answer = ask_endpoint(check(read_http_body(event) if over_http else event))
    except Refused as refused:
        status, cause = refused.status, refused.cause
        answer = {"error": refused.sentence, "status": status}
    except Exception as error:
        status, cause = 500, describe_bug(error)
        answer = {"error": "The function met an error of its own; its log says more.", "status": status}
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
    """The request inside an HTTP event: its JSON, or the picture in its body as ``{"image": <base64>}``.

    :raises Refused: if the body is empty, not JSON, or a picture that the gateway did not pass on as bytes.
    """
    given = event.get("headers")
    headers = {name.lower(): value for name, value in given.items()} if isinstance(given, dict) else {}
    content_type = str(headers.get("content-type") or "").lower()
    body = event.get("body")
    if not body or not isinstance(body, str):
        raise Refused(400, "The request has no body; send a picture with an image/* content type, or JSON.")
    is_base64 = bool(event.get("isBase64Encoded"))
    if content_type.startswith("image/"):
        if not is_base64:
            raise Refused(
                400,
                "The picture arrived as text; let the API pass image/* on as binary, or send base64 in JSON.",
            )
        return {"image": body}
    try:
        return json.loads(base64.b64decode(body, validate=True) if is_base64 else body)
    except (ValueError, RecursionError):
        raise Refused(400, 'The body is not valid JSON; send for example {"url": "https://..."}.') from None


def check(request: Any) -> bytes:
    """The body for the endpoint, once the request is known to be one it can answer.

    :raises Refused: with status 400, or 413 if it is too large, and what to change.
    """
    if isinstance(request, list):
        if not 1 <= len(request) <= MAX_BATCH:
            raise Refused(400, f"A batch holds 1 to {MAX_BATCH} pictures; this one holds {len(request)}.")
        for number, item in enumerate(request, start=1):
            check_picture(item, f"Picture {number} of the batch")
    else:
        check_picture(request, "The request")
    body = json.dumps(request).encode()
    if len(body) > MAX_REQUEST_BYTES:
        raise Refused(413, f"The request has {len(body)} bytes; at most {MAX_REQUEST_BYTES} are allowed.")
    return body


def check_picture(item: Any, where: str) -> None:
    """Pass where ``item`` names one picture in one known way; ``where`` begins the sentence if not."""
    names = ", ".join(f'"{name}"' for name in SOURCES)
    if not isinstance(item, dict):
        raise Refused(400, f"{where} must be a JSON object with exactly one of {names}.")
    unknown = [str(key)[:40] for key in item if key not in SOURCES]
    if unknown:
        raise Refused(400, f"{where} has unknown keys: {', '.join(unknown[:5])}. Give one of {names}.")
    if len(item) != 1:
        raise Refused(400, f"{where} has {len(item)} of the keys {names}; give exactly one.")
    [(source, value)] = item.items()
    if not isinstance(value, str) or not value:
        raise Refused(400, f'{where}: "{source}" must be a text that is not empty.')
    if not is_unicode(value):
        raise Refused(400, f'{where}: "{source}" contains a surrogate, which is half of a character.')
    {"url": check_url, "image": check_image, "s3": check_s3}[source](value, where)


def is_unicode(text: str) -> bool:
    """Whether the text can be encoded; JSON can spell what cannot, as ``"\\ud800"``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_url(url: str, where: str) -> None:
    """Pass where ``url`` can be fetched over http or https; what it may reach is the endpoint's to decide."""
    if len(url) > MAX_URL_CHARACTERS:
        raise Refused(
            400, f'{where}: "url" may have at most {MAX_URL_CHARACTERS} characters; it has {len(url)}.'
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise Refused(400, f'{where}: "url" must be an address that begins with http:// or https://.')


def check_image(image: str, where: str) -> None:
    """Pass where ``image`` is base64 of at most ``MAX_IMAGE_BYTES``; the endpoint judges the rest."""
    if image.startswith("data:"):
        raise Refused(400, f'{where}: "image" must be base64 alone, without "data:...;base64," before it.')
    # Four characters hold three bytes; decided before decoding, for decoding costs memory.
    if len(image) * 3 // 4 > MAX_IMAGE_BYTES + 2:
        raise Refused(413, f'{where}: "image" has more than {MAX_IMAGE_BYTES} bytes; send a smaller one.')
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, f'{where}: "image" must be valid base64 in one line.') from None


def check_s3(uri: str, where: str) -> None:
    """Pass where ``uri`` names an object as ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key or len(uri) > MAX_S3_CHARACTERS:
        raise Refused(400, f'{where}: "s3" must name an object as s3://bucket/key.')


def ask_endpoint(body: bytes) -> Any:
    """The endpoint's answer to a checked body.

    :raises Refused: with the endpoint's own status and sentence where it refused the request (4xx); 503 where
        it is throttled, its queue is full, or it does not answer in time; 502 for anything else.
    """
    try:
        return json.loads(invoke_endpoint(body)["Body"].read())
    except ClientError as error:
        raise explain(error) from None
    except (ConnectionError, HTTPClientError) as error:
        # Refused, reset and timed out connections; a timeout while the answer is read as well.
        raise Refused(503, "The model did not answer; try again shortly.", type(error).__name__) from None
    except (BotoCoreError, ValueError) as error:
        raise Refused(502, "The model's answer could not be read.", type(error).__name__) from None


def invoke_endpoint(body: bytes) -> dict[str, Any]:
    """What SageMaker answers; a model that fails is asked again a few times."""
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
    """Return whether the model failed, or gave no answer, on a request that it did not refuse.

    A full queue is no failure: a retry at once would only keep it full.
    """
    original = error.response.get("OriginalStatusCode")
    refused = isinstance(original, int) and (400 <= original < 500 or original in BUSY_STATUSES)
    return error.response.get("Error", {}).get("Code") == "ModelError" and not refused


def explain(error: ClientError) -> Refused:
    """What a caller may know of an error that SageMaker answered."""
    code = error.response.get("Error", {}).get("Code", "")
    if code in THROTTLED_OR_BUSY:
        return Refused(503, "The model is busy; try again shortly.", code)
    original = error.response.get("OriginalStatusCode")
    if code == "ModelError" and original in BUSY_STATUSES:
        return Refused(503, "The model is busy; try again shortly.", f"{code} {original}")
    if code == "ModelError" and original == 413 and not error.response.get("OriginalMessage"):
        # The front's own limit, which it states nowhere: the body is empty.
        return Refused(
            413, "The request is too large for the model; send a smaller image.", f"{code} {original}"
        )
    if code == "ModelError" and not is_failure_of_model(error):
        return Refused(original, sentence_of(error.response.get("OriginalMessage", "")), f"{code} {original}")
    cause = f"{code} {original}" if original else code
    return Refused(502, "The model could not answer this request.", cause)


def sentence_of(message: str) -> str:
    """The sentence in the endpoint's ``{"error": <sentence>}``, or a general one."""
    try:
        sentence = json.loads(message)["error"]
    except (ValueError, TypeError, KeyError):
        sentence = None
    return sentence if isinstance(sentence, str) and sentence else "The model can't use this input."


def describe_bug(error: Exception) -> str:
    """Type and places of an unforeseen error; never its message, which may hold what the caller sent."""
    places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__} at {' > '.join(places)}"
