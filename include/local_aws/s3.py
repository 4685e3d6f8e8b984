"""What S3 refuses and moto takes: changed copies, bodies with another checksum, and presigned URLs that expired."""

import base64
import datetime
import hashlib
import zlib
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

from moto.s3.models import FakeKey, s3_backends
from werkzeug.wrappers import Request, Response

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError
from include.local_aws.gateway import error_response

PARTITION = "aws"
_CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "SHA256": lambda body: hashlib.sha256(body).digest(),
    "SHA1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
}


class S3:
    """The part of S3 that moto lacks."""

    def respond(self, request: Request) -> Response | None:
        """Refuse a URL that expired, a copy of another object than the caller means, and a body that was not sent."""
        expired = _refused_url(request)
        if expired is not None or request.method not in ("PUT", "POST"):
            return expired
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


def _refused_url(request: Request) -> Response | None:
    """Refuse a presigned URL, of signature version 4 or 2, whose time is over."""
    query = request.args
    try:
        if "X-Amz-Signature" in query and "/s3/" in query.get("X-Amz-Credential", ""):
            signed = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(
                tzinfo=datetime.UTC
            )
            expires = signed + datetime.timedelta(seconds=int(query["X-Amz-Expires"]))
            members = {"X-Amz-Expires": query["X-Amz-Expires"]}
        elif {"AWSAccessKeyId", "Signature", "Expires"} <= query.keys():
            expires = datetime.datetime.fromtimestamp(int(query["Expires"]), datetime.UTC)
            members = {}
        else:
            return None
    except (KeyError, ValueError):
        return _refusal(
            "AuthorizationQueryParametersError", "The query of the presigned URL is malformed", 400
        )
    now = datetime.datetime.now(datetime.UTC)
    if now <= expires:
        return None
    times = {"Expires": f"{expires:%Y-%m-%dT%H:%M:%SZ}", "ServerTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    return _refusal("AccessDenied", "Request has expired", 403, **members, **times)


def _refused_body(request: Request) -> Response | None:
    # A body in signed chunks has its checksum at its end, and is moto's to read.
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return None
    if "Content-MD5" in request.headers:
        refused = _refused_md5(request.headers["Content-MD5"], request.get_data())
        if refused is not None:
            return refused
    if request.method == "POST":  # a checksum is then that of the object which an upload in parts makes
        return None
    for name, compute in _CHECKSUMS.items():
        wanted = request.headers.get(f"x-amz-checksum-{name.lower()}")
        if wanted is not None and wanted != base64.b64encode(compute(request.get_data())).decode():
            return _refusal(
                "BadDigest", f"The {name} you specified did not match the calculated checksum.", 400
            )
    return None


def _refused_md5(wanted: str, body: bytes) -> Response | None:
    try:
        is_digest = len(base64.b64decode(wanted, validate=True)) == 16
    except ValueError:
        is_digest = False
    if not is_digest:
        return _refusal("InvalidDigest", "The Content-MD5 you specified was invalid.", 400)
    if wanted != base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode():
        return _refusal("BadDigest", "The Content-MD5 you specified did not match what we received.", 400)
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
    return error_response(AwsError(code, message, status, **members), service="s3")
