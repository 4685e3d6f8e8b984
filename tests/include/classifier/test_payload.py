"""A request's images are read from every documented way of giving them."""

import base64
import json
from typing import Any

import pytest
from image_classifier import payload
from image_classifier.errors import RequestError


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for the network: an address gives its own name."""
    monkeypatch.setattr("image_classifier.fetch.from_url", lambda url: f"from {url}".encode())
    monkeypatch.setattr("image_classifier.fetch.from_s3", lambda uri: f"from {uri}".encode())


@pytest.mark.parametrize("content_type", ["image/jpeg", "application/x-image", "IMAGE/JPEG; charset=binary"])
def test_an_image_is_taken_as_it_is(content_type: str) -> None:
    request = payload.read(b"bytes", content_type)

    assert request == payload.Payload([payload.Item(b"bytes", top_k=5)], is_batch=False)


@pytest.mark.parametrize(
    ("document", "image"),
    [
        ({"url": "https://a/b.jpg"}, b"from https://a/b.jpg"),
        ({"s3": "s3://a/b.jpg"}, b"from s3://a/b.jpg"),
        ({"image": base64.b64encode(b"bytes").decode()}, b"bytes"),
        ({"image": base64.encodebytes(b"b" * 100).decode()}, b"b" * 100),
    ],
)
@pytest.mark.parametrize("encode", [str, str.encode], ids=["text", "bytes"])
def test_json_refers_to_an_image(document: dict[str, str], image: bytes, encode: type) -> None:
    request = payload.read(encode(json.dumps({**document, "top_k": 2})), "application/json")

    assert request.items == [payload.Item(image, top_k=2)]


def test_a_list_is_a_batch_in_its_order() -> None:
    request = payload.read(json.dumps([{"url": str(number)} for number in range(16)]), "application/json")

    assert request.is_batch
    assert [item.image for item in request.items] == [f"from {number}".encode() for number in range(16)]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "exactly one of"),
        ("text", "exactly one of"),
        ({"url": "a", "s3": "b"}, "exactly one of"),
        ({"url": "a", "size": 3}, "exactly one of"),
        ({"url": 3}, '"url" must be a text'),
        ({"url": "a", "top_k": 0}, '"top_k" must be a whole number'),
        ({"url": "a", "top_k": True}, '"top_k" must be a whole number'),
        ({"url": "a", "top_k": 1.5}, '"top_k" must be a whole number'),
        ({"image": "%%%"}, "not valid base64"),
        ([], "1 to 16 images"),
        ([{"url": "a"}] * 17, "1 to 16 images"),
        ([{"url": "a"}, {}], "Item 2 of the batch must be"),
        ([{"url": "a"}, {"image": "%"}], "Item 2 of the batch: .* not valid base64"),
        ({"s3": "s3://bucket/sample/\ud800"}, '"s3" contains a surrogate'),
        ({"url": "http://a/\udfff"}, '"url" contains a surrogate'),
        ({"image": "\ud800"}, '"image" contains a surrogate'),
    ],
)
def test_what_is_wrong_is_told(document: object, message: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        payload.read(json.dumps(document), "application/json")

    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"x", "text/csv", 415, id="unknown content type"),
        pytest.param(b"x", None, 415, id="no content type"),
        pytest.param(b"a=1", "application/x-www-form-urlencoded", 415, id="a form of fields"),
        pytest.param(None, "application/x-www-form-urlencoded", 415, id="a form, of which no body is left"),
        pytest.param(None, "multipart/form-data; boundary=x", 400, id="multipart without a body"),
        pytest.param(None, None, 415, id="nothing at all"),
        pytest.param(b"", "image/jpeg", 400, id="empty"),
        pytest.param(bytearray(), "application/json", 400, id="empty JSON"),
        pytest.param(b"{", "application/json", 400, id="half a document"),
        pytest.param(b'"\xff"', "application/json", 400, id="not utf-8"),
        pytest.param(None, "image/jpeg", 400, id="no body"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, "application/json", 400, id="too deep"),
        pytest.param(b"9" * 5000, "application/json", 400, id="a long number"),
        pytest.param(bytes(payload.MAX_BODY_BYTES + 1), "image/jpeg", 413, id="too big"),
    ],
)
def test_a_bad_body_has_its_status(body: Any, content_type: str | None, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        payload.read(body, content_type)

    assert refused.value.status == status


@pytest.mark.parametrize("item", [b"[]", b"{}", b"0", b'""'])
def test_a_document_of_many_values_is_refused_before_it_takes_memory(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"[" + b",".join([item] * 60_000) + b"]"
    monkeypatch.setattr(payload.request_body.json, "loads", lambda _: pytest.fail("the document was read"))

    with pytest.raises(RequestError, match="brackets and commas"):
        payload.read(body, "application/json")
