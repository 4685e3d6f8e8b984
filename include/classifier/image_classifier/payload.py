"""Reads the images out of a request's body, as bytes, whichever of the documented ways they are given."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from . import fetch, request_body
from .errors import RequestError
from .request_body import JSON_TYPE as JSON_TYPE

DEFAULT_TOP_K = 5
MAX_IMAGES = 16
# What SageMaker lets through to a real-time endpoint. Neither Ray's proxy nor AWS's adapter has a limit of its own.
MAX_BODY_BYTES = 25 * 1024 * 1024


@dataclass(frozen=True)
class Item:
    """One image to classify.

    :param image: encoded bytes.
    :param top_k: how many of the most probable classes to answer.
    """

    image: bytes
    top_k: int = DEFAULT_TOP_K


@dataclass(frozen=True)
class Payload:
    """The images of one request.

    :param is_batch: whether they came as a list, and are answered as one.
    """

    items: list[Item]
    is_batch: bool = False


def read(body: bytes | bytearray | str | None, content_type: str | None) -> Payload:
    """Read a request, and fetch the images that it refers to.

    :param body: None where the model server passes none on.
    :raises RequestError: the request is not usable; the status and the sentence say why.
    """
    body = body.encode(errors="replace") if isinstance(body, str) else bytes(body or b"")
    check_length(content_type, body[:64], len(body))
    try:
        return _read_document(request_body.read(body, content_type))
    except request_body.BadRequest as error:
        raise RequestError(str(error), error.status) from error


def check_length(content_type: str | None, start: bytes, length: int) -> None:
    """Check the media type and the number of bytes of a body.

    :param start: its first bytes.
    :raises RequestError: with status 415, 413 if there are too many bytes, 400 if there are none.
    """
    try:
        request_body.kind_of(content_type, start)
    except request_body.BadRequest as error:
        raise RequestError(str(error), error.status) from error
    if length > MAX_BODY_BYTES:
        raise RequestError(f"The request has {length:,} bytes, more than {MAX_BODY_BYTES:,}.", status=413)
    if not length:
        raise RequestError("The request is empty; send an image or a JSON object.")


def _read_document(document: Any) -> Payload:
    if not isinstance(document, list):
        return Payload([_read_item(document, "The request")])
    if not 1 <= len(document) <= MAX_IMAGES:
        raise RequestError(f"A batch has 1 to {MAX_IMAGES} images, this one has {len(document)}.")
    names = [f"Item {number} of the batch" for number in range(1, len(document) + 1)]
    # Together, so that a batch of addresses takes as long as the slowest, not as their sum.
    with ThreadPoolExecutor(max_workers=len(document)) as pool:
        return Payload(list(pool.map(_read_item, document, names)), is_batch=True)


def _read_item(document: object, name: str) -> Item:
    ways = {"url": fetch.from_url, "s3": fetch.from_s3, "image": _decode_base64}
    given = [way for way in ways if way in document] if isinstance(document, dict) else []
    if not isinstance(document, dict) or len(given) != 1 or set(document) - {*given, "top_k"}:
        raise RequestError(
            f'{name} must be an object with exactly one of "url", "s3" or "image" (base64), '
            'and optionally "top_k".'
        )
    top_k = document.get("top_k", DEFAULT_TOP_K)
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise RequestError(f'{name}: "top_k" must be a whole number of at least 1.')
    value = document[given[0]]
    if isinstance(value, bytes):
        return Item(value, top_k)
    if not isinstance(value, str):
        raise RequestError(f'{name}: "{given[0]}" must be a text.')
    if not _is_unicode(value):
        # As JSON can spell it: "\\ud800". No address, key or base64 contains one, and it can't be encoded.
        raise RequestError(f'{name}: "{given[0]}" contains a surrogate, which is half of a character.')
    try:
        return Item(ways[given[0]](value), top_k)
    except RequestError as error:
        raise RequestError(f"{name}: {error}", error.status) from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode_base64(text: str) -> bytes:
    try:
        return request_body.decode_base64(text)
    except request_body.BadRequest as error:
        raise RequestError(str(error), error.status) from error
