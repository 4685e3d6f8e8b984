"""What can be the address of a file, a folder or an object at all, told without asking for it."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "s3", "file")
# What botocore lets through; new buckets are held to more, but old ones are not.
BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
MAX_KEY_BYTES = 1024
MAX_URL_LETTERS = 8192
MAX_PATH_BYTES, MAX_NAME_BYTES = 4096, 255


def check_address(address: str) -> str:
    """Return an address, if it can lead somewhere: a path, an http(s):// or an s3:// address.

    :raises ValueError: saying what it has to be, if it can't.
    """
    if not address.strip() or address != address.strip():
        raise ValueError("must be a path, an http(s):// or an s3:// address, without blanks around it")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in address):
        raise ValueError("must not hold control characters or halves of characters")
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _check_path(address)
    if scheme not in SCHEMES:
        raise ValueError("must be a path, an http(s):// or an s3:// address")
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        if not BUCKET.fullmatch(bucket):
            raise ValueError(
                "must be s3://<bucket>/<key> with the name of a bucket, which has letters, digits, '.', '-' and '_'"
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
            f"must be a path of at most {MAX_PATH_BYTES} bytes, with names of at most {MAX_NAME_BYTES}"
        )
    return path


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and " " not in parts.netloc and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        is_complete = False
    if not is_complete or len(url) > MAX_URL_LETTERS:
        raise ValueError(f"must be http(s)://<host>/<path> of at most {MAX_URL_LETTERS} characters")
