"""What local AWS refuses of S3 by the signature of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_that_expired_is_refused(
    local_aws: Any, eventually: Callable[..., Any], version: str
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=local_aws.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )
    bucket = f"presigned-{version}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="a", Body=b"x")

    def get(seconds: int) -> requests.Response:
        url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"}, ExpiresIn=seconds)
        eventually(lambda: seconds > 1 or requests.get(url, timeout=60).status_code != 200)
        return requests.get(url, timeout=60)

    assert get(3600).content == b"x"
    answer = get(1)
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer.text
