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

# Of 25 MB, a document of empty lists becomes 800 MB of Python objects. A batch of 16 has some 80 of these marks,
# and as many more as its addresses contain.
MAX_JSON_MARKS = 50_000
JSON_MARKS = (b"[", b"{", b",")


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

    :param body: None where the model server passes none on: it splits forms into fields.
    :raises RequestError: 415 for the content type, which is judged before the body; else 400 or 413.
    """
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind not in (*IMAGE_TYPES, JSON_TYPE):
        problem = (
            f"The content type {content_type} is unknown" if content_type else "There is no content type"
        )
        raise RequestError(f"{problem}; use {', '.join(IMAGE_TYPES)} or {JSON_TYPE}.", status=415)
    body = body.encode(errors="replace") if isinstance(body, str) else bytes(body or b"")
    if len(body) > MAX_BODY_BYTES:
        raise RequestError(f"The request has {len(body):,} bytes, more than {MAX_BODY_BYTES:,}.", status=413)
    if not body:
        raise RequestError("The request is empty; send an image or a JSON object.")
    return _read_json(body) if kind == JSON_TYPE else Payload([Item(body)])


def _read_json(body: bytes) -> Payload:
    marks = sum(body.count(mark) for mark in JSON_MARKS)
    if marks > MAX_JSON_MARKS:
        raise RequestError(
            f"The request has {marks:,} brackets and commas, more than {MAX_JSON_MARKS:,}; "
            f"send an object, or a list of 1 to {MAX_IMAGES} objects."
        )
    try:
        document = json.loads(body)
    except RecursionError:
        raise RequestError("The request is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
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
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f'"image" is not valid base64 ({error}).') from None
