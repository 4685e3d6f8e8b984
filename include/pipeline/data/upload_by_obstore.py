"""Puts objects with obstore, whose S3 client is written in Rust and works while other Python threads do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from include.pipeline.data.upload import Put, UploadError, content_type, refused

# botocore fetches new temporary credentials ten minutes before they expire, so what it gives is good for that long.
CREDENTIALS_LIFETIME = timedelta(minutes=10)
RETRIES = 5


def put_by_obstore(s3: Any, bucket: str, credentials: Any) -> Put:
    """Return what puts one object into a bucket; any number of threads may call it.

    The signature of a request covers the SHA-256 of its body, which S3 checks and keeps with the object.

    :param s3: a boto3 client, whose endpoint is used.
    :param credentials: botocore's, asked anew whenever they may have expired.
    """
    url = bucket_url(s3, bucket)
    store = S3Store(
        bucket,
        endpoint=url,
        virtual_hosted_style_request=True,  # the endpoint is the bucket's own
        region=s3.meta.region_name,
        checksum_algorithm="sha256",
        client_options={"allow_http": url.startswith("http:")},
        retry_config={"max_retries": RETRIES},
        credential_provider=_provider(credentials),
    )

    def put(key: str, body: bytes, sha256: str) -> None:
        try:
            obstore.put(store, key, body, attributes={"Content-Type": content_type(key)}, use_multipart=False)
        except (BaseError, FileNotFoundError) as error:
            raise _failure(key, error) from error

    return put


def bucket_url(s3: Any, bucket: str) -> str:
    """Return the URL of a bucket in the client's region, or at its own endpoint.

    A presigned URL tells whether boto3 puts the bucket into the host or into the path. Its host is not used: it may be
    the global endpoint, which redirects requests for other regions and refuses those for regions since 2019.
    """
    endpoint = urlsplit(s3.meta.endpoint_url)
    example = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "key"}))
    path = endpoint.path.rstrip("/")
    if example.netloc.startswith(f"{bucket}."):
        return f"{endpoint.scheme}://{bucket}.{endpoint.netloc}{path}"
    return f"{endpoint.scheme}://{endpoint.netloc}{path}/{bucket}"


def _provider(credentials: Any) -> Callable[[], Any]:
    def provide() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + CREDENTIALS_LIFETIME,
        }

    return provide


def _failure(key: str, error: Exception) -> UploadError:
    text = str(error)
    code = re.search(r"<Code>(.*?)</Code>", text)
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    if code:
        return refused(key, code[1], message[1] if message else "")
    return UploadError(f"S3 did not take {key}: {text.partition('Debug source')[0].strip()}")
