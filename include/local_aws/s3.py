"""What S3 refuses and moto takes: copies of an object that has changed, and bodies with another checksum."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from moto.s3.models import FakeKey, s3_backends
from werkzeug.wrappers import Request, Response

from include.local_aws.config import ACCOUNT_ID

PARTITION = "aws"
_CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "SHA256": lambda body: hashlib.sha256(body).digest(),
    "SHA1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
}


class S3:
    """The part of S3 that moto lacks."""

    def respond(self, request: Request) -> Response | None:
        """Refuse a copy of another object than the caller means, and a body that is not the one that was sent."""
        if request.method != "PUT":
            return None
        source = request.headers.get("x-amz-copy-source")
        return _refused_body(request) if source is None else _refused_copy(request, source)

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""


def _refused_copy(request: Request, source: str) -> Response | None:
    wanted = request.headers.get("x-amz-copy-source-if-match")
    found = None if wanted is None else _find(source)
    # As it is listed, in quotes.
    if found is None or found.etag == wanted:
        return None
    return _refusal(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        Condition="x-amz-copy-source-If-Match",
    )


def _refused_body(request: Request) -> Response | None:
    # A body in signed chunks has its checksum at its end, and is moto's to read.
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return None
    for name, compute in _CHECKSUMS.items():
        wanted = request.headers.get(f"x-amz-checksum-{name.lower()}")
        if wanted is not None and wanted != base64.b64encode(compute(request.get_data())).decode():
            return _refusal(
                "BadDigest", f"The {name} you specified did not match the calculated checksum.", 400
            )
    return None


def _find(source: str) -> FakeKey | None:
    parsed = urlsplit(source)
    bucket, _, key = unquote(parsed.path).lstrip("/").partition("/")
    backend = s3_backends[ACCOUNT_ID][PARTITION]
    if bucket not in backend.buckets:
        return None
    found: FakeKey | None = backend.get_object(
        bucket, key, version_id=parse_qs(parsed.query).get("versionId", [None])[0]
    )
    return found


def _refusal(code: str, message: str, status: int, **members: str) -> Response:
    named = {"Code": code, "Message": message, **members}
    body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in named.items())
    return Response(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{body}</Error>',
        status,
        content_type="application/xml",
    )
