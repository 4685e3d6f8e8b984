"""Both fronts take the same requests: what the endpoint reads, the function passes on."""

from __future__ import annotations

import base64
import io
import json
import re
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from image_classifier import payload
from image_classifier.errors import RequestError

from tests.include.lambda_function.handler_module import import_handler

PHOTO = bytes(range(256)) * 3 + b"\r\n--\r\n"
BASE64 = base64.b64encode(PHOTO).decode()
WRAPPED = "\r\n".join(BASE64[n : n + 76] for n in range(0, len(BASE64), 76))
URL_SAFE = base64.urlsafe_b64encode(PHOTO).decode()
BOM = "\ufeff"
URL = "https://example.com/dog.jpg"


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The function, in front of an endpoint that keeps what it is sent."""
    monkeypatch.setenv("ENDPOINT_NAME", "dogs")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return import_handler()


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for the network: a URL gives its own name."""
    monkeypatch.setattr("image_classifier.fetch.from_url", lambda url: f"from {url}".encode())
    monkeypatch.setattr("image_classifier.fetch.from_s3", lambda uri: f"from {uri}".encode())


def by_endpoint(body: bytes, content_type: str | None) -> tuple[int, Any]:
    try:
        request = payload.read(body, content_type)
    except RequestError as error:
        return error.status, str(error)
    return 200, ([(item.image, item.top_k) for item in request.items], request.is_batch)


def by_function(function: ModuleType, body: bytes, content_type: str | None) -> tuple[int, Any]:
    """Ask the function as its URL does: all but text and JSON arrives as base64."""
    sent: list[bytes] = []

    def invoke_endpoint(**members: Any) -> Any:
        sent.append(members["Body"])
        return {"Body": io.BytesIO(b"{}")}

    function.runtime = SimpleNamespace(invoke_endpoint=invoke_endpoint)
    is_text = content_type is not None and content_type.startswith(("text/", "application/json"))
    event = {
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"content-type": content_type} if content_type is not None else {},
        "body": body.decode(errors="replace") if is_text else base64.b64encode(body).decode(),
        "isBase64Encoded": not is_text,
    }
    answer = function.handler(event, SimpleNamespace(aws_request_id="1"))
    if answer["statusCode"] != 200:
        return answer["statusCode"], json.loads(answer["body"])["error"]
    return by_endpoint(sent[0], "application/json")


def form(*parts: tuple[str, bytes], boundary: str = "----x1") -> bytes:
    """A form as curl and browsers write it: the headers of each part, and its content."""
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; {headers}\r\n\r\n".encode() + content + b"\r\n"
        for headers, content in parts
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def in_json(**document: Any) -> bytes:
    return json.dumps(document).encode()


FORM = 'multipart/form-data; boundary="----x1"'
FILE = 'name="image"; filename="dog.jpg"\r\nContent-Type: image/jpeg'
ONE, TOP_1 = ([(PHOTO, 5)], False), ([(PHOTO, 1)], False)

ACCEPTED: dict[str, tuple[str | None, bytes, Any]] = {
    **{
        kind: (kind, PHOTO, ONE)
        for kind in ("jpeg", "jpg", "png", "webp", "gif", "bmp", "tiff", "heic", "avif", "*")
        for kind in [f"image/{kind}"]
    },
    "octet-stream": ("application/octet-stream", PHOTO, ONE),
    "binary octet-stream": ("binary/octet-stream", PHOTO, ONE),
    "x-image": ("application/x-image", PHOTO, ONE),
    "capitals and a parameter": ("Image/JPEG; charset=binary", PHOTO, ONE),
    "base64": ("application/json", in_json(image=BASE64), ONE),
    "base64 in lines": ("application/json", in_json(image=WRAPPED), ONE),
    "base64 for URLs": ("application/json", in_json(image=URL_SAFE), ONE),
    "base64 without padding": ("application/json", in_json(image=BASE64.rstrip("=")), ONE),
    "base64 as a data URL": ("application/json", in_json(image=f"data:image/jpeg;base64,{BASE64}"), ONE),
    "base64 as a data URL in lines": ("application/json", in_json(image=f"data:;base64,\n{WRAPPED}\n"), ONE),
    "base64 with a byte order mark": ("application/json", in_json(image=BOM + BASE64), ONE),
    "JSON with a byte order mark": ("application/json", BOM.encode() + in_json(image=BASE64), ONE),
    "JSON of another type": ("application/vnd.dogs+json", in_json(image=BASE64), ONE),
    "JSON as curl -d sends it": ("application/x-www-form-urlencoded", in_json(image=BASE64), ONE),
    "JSON without a type": (None, in_json(image=BASE64), ONE),
    "top_k": ("application/json", in_json(image=BASE64, top_k=1), TOP_1),
    "url": ("application/json", in_json(url=URL), ([(f"from {URL}".encode(), 5)], False)),
    "s3": ("application/json", in_json(s3="s3://b/k", top_k=2), ([(b"from s3://b/k", 2)], False)),
    "batch": (
        "application/json",
        json.dumps([{"image": BASE64}, {"url": URL, "top_k": 2}]).encode(),
        ([(PHOTO, 5), (f"from {URL}".encode(), 2)], True),
    ),
    "form with a file": (FORM, form((FILE, PHOTO)), ONE),
    "form without quotation marks": (
        "multipart/form-data; boundary=----x1",
        form(("name=file; filename=dog.jpg", PHOTO)),
        ONE,
    ),
    "form with a file and top_k": (FORM, form((FILE, PHOTO), ('name="top_k"', b"1")), TOP_1),
    "form with two files": (FORM, form((FILE, PHOTO), (FILE, b"other")), ([(PHOTO, 5), (b"other", 5)], True)),
    "form with base64": (FORM, form(('name="image"', WRAPPED.encode())), ONE),
    "form with a url": (FORM, form(('name="url"', URL.encode())), ([(f"from {URL}".encode(), 5)], False)),
    "form with an empty file besides": (FORM, form((FILE, b""), ('name="image"', BASE64.encode())), ONE),
}

REFUSED: dict[str, tuple[str | None, bytes, int, str]] = {
    "text": (
        "text/plain",
        b"dog",
        415,
        "The content type text/plain is unknown; use image/\\*, application/octet-st",
    ),
    "form of fields": (
        "application/x-www-form-urlencoded",
        b"a=1&b=2",
        415,
        "x-www-form-urlencoded is unknown",
    ),
    "no type": (None, PHOTO, 415, "There is no content type; use image/"),
    "half a document": ("application/json", b'{"image"', 400, "not valid JSON"),
    "no base64": ("application/json", in_json(image="%%%"), 400, "not valid base64"),
    "a data URL of text": (
        "application/json",
        in_json(image="data:text/plain,dog"),
        400,
        'data: URL without ";base64,"',
    ),
    "top_k of 0": ("application/json", in_json(image=BASE64, top_k=0), 400, '"top_k" must be a whole number'),
    "form with a word as top_k": (
        FORM,
        form((FILE, PHOTO), ('name="top_k"', b"x")),
        400,
        '"top_k" must be a whole',
    ),
    "form without an image": (FORM, form(('name="top_k"', b"1")), 400, "The form has no image"),
    "form with another field": (FORM, form(('name="photo"', b"x")), 400, 'unknown field "photo"'),
    "form that is cut off": (FORM, form((FILE, PHOTO))[:-20], 400, "The form is cut off"),
    "form without a boundary": ("multipart/form-data", form((FILE, PHOTO)), 400, "has no boundary"),
    "form with too many parts": (FORM, form(*[(FILE, b"x")] * 70), 400, "more than 64 parts"),
    "form with too many images": (FORM, form(*[(FILE, b"x")] * 17), 400, "1 to 16"),
    "many brackets": ("application/json", b"[" * 60_000, 400, "60,000 brackets"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_request_that_is_documented_is_read_alike_by_both(name: str, function: ModuleType) -> None:
    content_type, body, expected = ACCEPTED[name]
    assert by_endpoint(body, content_type) == (200, expected)
    assert by_function(function, body, content_type) == (200, expected)


@pytest.mark.parametrize("name", REFUSED)
def test_another_request_is_refused_alike_by_both(name: str, function: ModuleType) -> None:
    content_type, body, status, sentence = REFUSED[name]
    for answered, told in (by_endpoint(body, content_type), by_function(function, body, content_type)):
        assert answered == status
        assert re.search(sentence, told), told
