"""Puts one object to S3, and tells what was wrong if S3 did not take it."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from typing import Any

from include.pipeline.errors import PermanentError

PERMANENT = {
    "AccessDenied",
    "NoSuchBucket",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AllAccessDisabled",
}

Put = Callable[[str, bytes, str], None]
"""Puts one object: its key, its content, and the content's SHA-256 in hexadecimal digits."""


class UploadError(Exception):
    """S3 did not take an object."""


class UploadRefusedError(UploadError, PermanentError):
    """S3 did not take an object, and won't at the next try either."""


def content_type(key: str) -> str:
    return mimetypes.guess_type(key)[0] or "application/octet-stream"


def refused(key: str, code: str, message: str) -> UploadError:
    """The error for an answer of S3."""
    if code in ("PreconditionFailed", "412"):
        return UploadError(
            f"What S3 was to copy to {key} changed while the data set was staged. Start the run again."
        )
    if code == "AccessDenied" and "kms:" in message:
        message += (
            ". The object is encrypted with a key of AWS KMS: let Airflow's role use that key (kms:Decrypt), in the "
            "role's policy and in the key's."
        )
    kind = UploadRefusedError if code in PERMANENT else UploadError
    return kind(f"S3 did not take {key}: {code}: {message}")


def put_by_boto3(s3: Any, bucket: str) -> Put:
    """Return what puts one object into a bucket; any number of threads may call it."""

    def put(key: str, body: bytes, sha256: str) -> None:
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType=content_type(key),
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
        )

    return put
