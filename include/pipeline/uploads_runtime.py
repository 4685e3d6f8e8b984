"""Sends objects with the S3 client of the AWS Common Runtime, which is written in C and needs no thread each."""

from __future__ import annotations

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

from awscrt.auth import AwsCredentials, AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)

from include.pipeline.uploads import Boto3Sender, Flight, UploadError, content_type, refused

EVENT_LOOPS = 2
GIGABITS_PER_SECOND = 5
"""What the runtime aims at; it decides how many connections are opened."""
# An image has at most 64 MB; in parts it would have no SHA-256 of the whole.
MULTIPART_THRESHOLD = 128 << 20
CLOSE_SECONDS = 10


class RuntimeSender(Boto3Sender):
    """Puts by the Common Runtime; copies, which carry no bytes, by boto3."""

    def __init__(
        self, flight: Flight, pool: ThreadPoolExecutor, s3: Any, bucket: str, credentials: Any
    ) -> None:
        super().__init__(flight, pool, s3, bucket)
        # boto3 knows which host and path stand for a bucket, also at an endpoint of one's own.
        example = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "key"}))
        self._host, self._path = example.netloc, example.path.removesuffix("key")
        self._requests: dict[int, Any] = {}
        loops = EventLoopGroup(EVENT_LOOPS)
        region = s3.meta.region_name
        provider = AwsCredentialsProvider.new_delegate(lambda: _runtime_credentials(credentials))
        self._client = S3Client(
            bootstrap=ClientBootstrap(loops, DefaultHostResolver(loops)),
            region=region,
            signing_config=create_default_s3_signing_config(region=region, credential_provider=provider),
            tls_mode=S3RequestTlsMode.DISABLED if example.scheme == "http" else S3RequestTlsMode.ENABLED,
            throughput_target_gbps=GIGABITS_PER_SECOND,
            multipart_upload_threshold=MULTIPART_THRESHOLD,
        )

    def put(self, key: str, body: bytes, sha256: str) -> None:
        size = len(body)
        headers = HttpHeaders(
            [
                ("host", self._host),
                ("content-length", str(size)),
                ("content-type", content_type(key)),
                ("x-amz-checksum-sha256", base64.b64encode(bytes.fromhex(sha256)).decode()),
            ]
        )
        request = HttpRequest("PUT", self._path + quote(key, safe="/-_.~"), headers, io.BytesIO(body))
        number = id(request)

        def done(
            error: Exception | None,
            status_code: int | None = None,
            error_body: bytes | None = None,
            **_: Any,
        ) -> None:
            self._requests.pop(number, None)
            self._flight.end(size, _failure(key, error, status_code, error_body) if error else None)

        self._flight.begin(size)
        try:
            self._requests[number] = request
            self._requests[number] = self._client.make_request(
                request=request, type=S3RequestType.PUT_OBJECT, on_done=done
            )
        except BaseException as error:
            self._flight.end(size, UploadError(f"S3 did not take {key}: {error}"))
            raise

    def close(self) -> None:
        ended = self._client.shutdown_event
        self._requests.clear()
        del self._client
        ended.wait(CLOSE_SECONDS)


def _runtime_credentials(credentials: Any) -> AwsCredentials:
    frozen = credentials.get_frozen_credentials()  # new ones, if the old ones are about to expire
    return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token)


def _failure(key: str, error: Exception, status: int | None, body: bytes | None) -> UploadError:
    text = (body or b"").decode(errors="replace")
    code = re.search(r"<Code>(.*?)</Code>", text)
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    if code:
        return refused(key, code[1], message[1] if message else "")
    answer = f"status {status}" if status else str(error)
    return UploadError(f"S3 did not take {key}: {answer}")
