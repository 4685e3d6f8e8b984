"""Reads the images out of a request's body, as bytes, whichever of the documented ways they are given."""

import base64
import binascii
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import fetch
from errors import RequestError

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "application/x-image")
JSON_TYPE = "application/json"

DEFAULT_TOP_K = 5
MAX_IMAGES = 16
MAX_BODY_BYTES = 25 * 1024 * 1024  # what SageMaker lets through to a real-time endpoint


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


def read(body: bytes | str, content_type: str | None) -> Payload:
    """Read a request, fetching what it refers to.

    :raises RequestError: the body is not usable; the status and the sentence say why.
    """
    body = body.encode() if isinstance(body, str) else bytes(body)
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind not in (*IMAGE_TYPES, JSON_TYPE):
        problem = (
            f"The content type {content_type} is unknown" if content_type else "There is no content type"
        )
        raise RequestError(f"{problem}; use {', '.join(IMAGE_TYPES)} or {JSON_TYPE}.", status=415)
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(f"The request has {len(body):,} bytes, more than {MAX_BODY_BYTES:,}.", status=413)
    if not body:
        raise RequestError("The request is empty; send an image or a JSON object.")
    return _read_json(body) if kind == JSON_TYPE else Payload([Item(body)])


def _read_json(body: bytes) -> Payload:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The request is not valid JSON: {error}.") from None
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
    if not isinstance(value, str):
        raise RequestError(f'{name}: "{given[0]}" must be a text.')
    try:
        return Item(ways[given[0]](value), top_k)
    except RequestError as error:
        raise RequestError(f"{name}: {error}", error.status) from error


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f'"image" is not valid base64 ({error}).') from None
