"""What S3 answers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def s3(client: Callable[[str], Any]) -> Any:
    return client("s3")


@pytest.fixture
def bucket(s3: Any, unique: str) -> Iterator[str]:
    """A bucket of the test's own."""
    region = s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=unique, **place)
    yield unique
    for item in s3.list_objects_v2(Bucket=unique).get("Contents", []):
        s3.delete_object(Bucket=unique, Key=item["Key"])
    s3.delete_bucket(Bucket=unique)


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    """The ETag of an object `a`."""
    return s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]


@pytest.mark.row("S31")
def test_what_is_not_there_is_not_found(s3: Any, bucket: str, refused: Any) -> None:
    with refused("404", "Not Found", 404):
        s3.head_object(Bucket=bucket, Key="none")
    with refused("NoSuchKey", "The specified key does not exist.", 404):
        s3.get_object(Bucket=bucket, Key="none")
    with refused("NoSuchBucket", "The specified bucket does not exist", 404):
        s3.list_objects_v2(Bucket=f"{bucket}-none")


@pytest.mark.row("S32")
def test_an_object_is_copied_only_if_it_is_the_one_that_the_caller_means(
    s3: Any, bucket: str, etag: str, refused: Any
) -> None:
    copy = {"Bucket": bucket, "Key": "b", "CopySource": {"Bucket": bucket, "Key": "a"}}
    for other in ('"0123"', etag.strip('"')):
        with refused(
            "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412
        ):
            s3.copy_object(**copy, CopySourceIfMatch=other)
    s3.copy_object(**copy, CopySourceIfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"x"
    s3.put_object(Bucket=bucket, Key="a", Body=b"changed")
    with refused("PreconditionFailed", status=412):
        s3.copy_object(**copy, CopySourceIfMatch=etag)


@pytest.mark.row("S32")
def test_a_copy_may_leave_the_tags_behind(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="color=red")
    copy = {"Bucket": bucket, "CopySource": {"Bucket": bucket, "Key": "a"}}
    s3.copy_object(**copy, Key="with")
    s3.copy_object(**copy, Key="without", TaggingDirective="REPLACE")
    for key, tags in (("with", [{"Key": "color", "Value": "red"}]), ("without", [])):
        assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == tags


@pytest.mark.row("S33")
def test_an_object_is_read_only_if_it_is_the_one_that_the_caller_means(
    s3: Any, bucket: str, etag: str, refused: Any
) -> None:
    s3.get_object(Bucket=bucket, Key="a", IfMatch=etag)
    with refused("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412):
        s3.get_object(Bucket=bucket, Key="a", IfMatch='"0123"')


@pytest.mark.row("S34")
def test_a_wrong_checksum_is_refused(s3: Any, bucket: str, refused: Any) -> None:
    digest = base64.b64encode(hashlib.sha256(b"another").digest()).decode()
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ChecksumSHA256=digest)


@pytest.mark.row("S34")
def test_an_object_is_not_copied_onto_itself_unchanged(s3: Any, bucket: str, etag: str, refused: Any) -> None:
    with refused("InvalidRequest", "trying to copy an object to itself"):
        s3.copy_object(Bucket=bucket, Key="a", CopySource={"Bucket": bucket, "Key": "a"})


@pytest.mark.row("S34")
def test_an_unknown_upload_is_not_found(s3: Any, bucket: str, refused: Any) -> None:
    with refused("NoSuchUpload", status=404):
        s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId="none")


@pytest.mark.row("S35")
def test_an_upload_may_be_completed_twice(s3: Any, bucket: str) -> None:
    upload = {"Bucket": bucket, "Key": "a"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    for _ in range(2):
        answer = s3.complete_multipart_upload(
            **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
        )
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_body_with_another_md5_is_refused(s3: Any, bucket: str, refused: Any) -> None:
    digest = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="md5", Body=b"x", ContentMD5=digest)
    with refused("BadDigest", "The Content-MD5 you specified did not match what we received."):
        s3.put_object(Bucket=bucket, Key="md5", Body=b"other", ContentMD5=digest)
    with refused("InvalidDigest", "The Content-MD5 you specified was invalid."):
        s3.put_object(Bucket=bucket, Key="md5", Body=b"x", ContentMD5="no digest")
