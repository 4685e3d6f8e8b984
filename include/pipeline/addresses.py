"""Validate a path, a URL or an S3 URI without accessing it."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "s3", "file")
# As in botocore. AWS has stricter rules for the names of new buckets, but not for old ones.
BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
MAX_KEY_BYTES = 1024
MAX_URL_LETTERS = 8192
MAX_PATH_BYTES, MAX_NAME_BYTES = 4096, 255


def check_address(address: str) -> str:
    """Return the value if it is a valid path, HTTP(S) URL or S3 URI.

    :raises ValueError: if it is not; the message says what it must be.
    """
    if not address.strip() or address != address.strip():
        raise ValueError("must be a path, an http(s):// URL or an s3:// URI, without spaces around it")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in address):
        raise ValueError("must not contain control characters or lone surrogates")
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _check_path(address)
    if scheme not in SCHEMES:
        raise ValueError("must be a path, an http(s):// URL or an s3:// URI")
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        if not BUCKET.fullmatch(bucket):
            raise ValueError(
                "must be s3://<bucket>/<key>, with letters, digits, '.', '-' and '_' in the name of the bucket"
            )
        if len(key.encode()) > MAX_KEY_BYTES:
            raise ValueError(f"must have a key of at most {MAX_KEY_BYTES} bytes")
    elif scheme == "file":
        _check_path(rest)
    else:
        _check_url(address)
    return address


def _check_path(path: str) -> str:
    if len(path.encode()) > MAX_PATH_BYTES or any(
        len(part.encode()) > MAX_NAME_BYTES for part in path.split("/")
    ):
        raise ValueError(
            f"must be a path of at most {MAX_PATH_BYTES} bytes, with names of at most {MAX_NAME_BYTES} bytes"
        )
    return path


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and " " not in parts.netloc and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        is_complete = False
    if not is_complete or len(url) > MAX_URL_LETTERS:
        raise ValueError(f"must be http(s)://<host>/<path> of at most {MAX_URL_LETTERS} characters")
