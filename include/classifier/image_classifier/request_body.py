"""Reads the body of a request: the one rule of the endpoint and of the function in front of it.

It is shipped with both, so it imports the standard library alone. What comes out is a document as JSON gives it: an
object with one of "url", "s3" and "image" and perhaps "top_k", or a list of them. An "image" is base64 as text, or
bytes where the request has the bytes themselves.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

JSON_TYPE = "application/json"
BYTES_TYPES = ("application/octet-stream", "binary/octet-stream", "application/x-image")
FORM_TYPE = "multipart/form-data"
ACCEPTED = f"image/*, {', '.join(BYTES_TYPES)}, {FORM_TYPE} or {JSON_TYPE}"

# Of 25 MB, a document of empty lists becomes 800 MB of Python objects. A batch of 16 has some 80 of these marks,
# and as many more as its URLs contain.
MAX_JSON_MARKS = 50_000
JSON_MARKS = (b"[", b"{", b",")
MAX_PARTS = 64
MAX_PART_HEADER_BYTES = 8_000
BYTE_ORDER_MARK = "\ufeff"

_boundary = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_name = re.compile(rb';\s*name="?([^";]*)"?', re.IGNORECASE)
_filename = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_part_type = re.compile(rb"^content-type:\s*image/", re.IGNORECASE | re.MULTILINE)
_data_uri = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


class BadRequest(Exception):
    """A body that can't be read: an HTTP status, and a sentence for the caller."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def kind_of(content_type: str | None, start: bytes) -> str:
    """Return how a body is read: as ``bytes``, ``form`` or ``json``.

    :param start: the first bytes of the body. With another content type, or none, it is JSON if it begins as JSON.
    :raises BadRequest: with status 415.
    """
    media_type = (content_type or "").split(";")[0].strip().lower()
    if media_type.startswith("image/") or media_type in BYTES_TYPES:
        return "bytes"
    if media_type == FORM_TYPE:
        return "form"
    is_json = media_type == JSON_TYPE or re.fullmatch(r"application/[\w.-]+\+json", media_type)
    if is_json or start.removeprefix(BYTE_ORDER_MARK.encode()).lstrip()[:1] in (b"{", b"["):
        return "json"
    problem = f"The content type {content_type} is unknown" if content_type else "There is no content type"
    raise BadRequest(f"{problem}; use {ACCEPTED}.", 415)


def read(body: bytes, content_type: str | None) -> Any:
    """Return the document of a body.

    :raises BadRequest: the body is empty, of an unknown type, or not what its type says.
    """
    kind = kind_of(content_type, body[:64])
    if not body:
        raise BadRequest("The request is empty; send an image or a JSON object.")
    if kind == "bytes":
        return {"image": body}
    return _form(body, content_type or "") if kind == "form" else _json(body)


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64, in the standard or the URL-safe alphabet.

    A ``data:`` prefix, a byte order mark, blanks and line ends are left out; padding may be missing.

    :raises BadRequest: it is something else.
    """
    encoded = "".join(text.lstrip(BYTE_ORDER_MARK + " \r\n\t").split())
    if encoded[:5].lower() == "data:":
        prefix = _data_uri.match(encoded)
        if not prefix:
            raise BadRequest('"image" is a data: URL without ";base64,".')
        encoded = encoded[prefix.end() :]
    encoded = encoded.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f'"image" is not valid base64 ({error}).') from None


def _json(body: bytes) -> Any:
    marks = sum(body.count(mark) for mark in JSON_MARKS)
    if marks > MAX_JSON_MARKS:
        raise BadRequest(
            f"The request has {marks:,} brackets and commas, more than {MAX_JSON_MARKS:,}; "
            "send an object, or a list of objects."
        )
    try:
        return json.loads(body)
    except RecursionError:
        raise BadRequest("The request is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The request is not valid JSON: {error}.") from None


def _form(body: bytes, content_type: str) -> Any:
    """Return the images of a form: its files, and fields named as the keys of the JSON."""
    items: list[dict[str, Any]] = []
    options: dict[str, Any] = {}
    for name, is_file, content in _parts(body, content_type):
        if is_file:
            if content:  # a browser sends an empty file where none was chosen
                items.append({"image": content})
        elif name in ("url", "s3", "image"):
            items.append({name: _text(content, name)})
        elif name == "top_k":
            value = _text(content, name).strip()
            options["top_k"] = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else value
        else:
            raise BadRequest(
                f'The form has an unknown field "{name[:40]}"; send files, or the fields "url", "s3", "image" (base64) '
                'and "top_k".'
            )
    if not items:
        raise BadRequest('The form has no image; send a file, or a field "url", "s3" or "image" (base64).')
    documents = [{**item, **options} for item in items]
    return documents if len(documents) > 1 else documents[0]


def _parts(body: bytes, content_type: str) -> list[tuple[str, bool, bytes]]:
    """Return name, kind and content of each part of multipart/form-data (RFC 7578)."""
    found = _boundary.search(content_type)
    if not found:
        raise BadRequest("The content type multipart/form-data has no boundary.")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "replace")
    sections = (b"\r\n" + body).split(delimiter, MAX_PARTS + 2)[1:]
    parts: list[tuple[str, bool, bytes]] = []
    for section in sections:
        if section.startswith(b"--"):
            return parts
        head, separator, content = section.partition(b"\r\n\r\n")
        if not separator or len(head) > MAX_PART_HEADER_BYTES or len(parts) == MAX_PARTS:
            break
        name = _name.search(head)
        is_file = _filename.search(head) is not None or _part_type.search(head) is not None
        parts.append((name[1].decode("utf-8", "replace") if name else "", is_file, content))
    raise BadRequest(f"The form is cut off, or has more than {MAX_PARTS} parts.")


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadRequest(f'The form\'s field "{name}" is not UTF-8; send an image as a file.') from None
