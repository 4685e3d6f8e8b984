"""Read the pages of projects from the bucket of the stack."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk.exceptions import AirflowException
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from include.pipeline.infrastructure import InfrastructureError, read_infrastructure
from include.pipeline.target import is_local
from project_pages.errors import PageError, of_aws

MAX_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
KEPT_SECONDS = 60
# A user waits for the page, which occupies one of 40 threads.
PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
AWS_ERRORS = (AirflowException, BotoCoreError, ClientError, InfrastructureError)
MISSING = {"NoSuchKey", "404"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPage:
    """An object whose content has not been read yet.

    :param size: The size in bytes.
    :param etag: The entity tag with its quotes, as in the HTTP header.
    """

    size: int
    etag: str
    body: Any

    def chunks(self) -> Iterator[bytes]:
        """Read the content, and close the connection."""
        try:
            yield from self.body.iter_chunks(CHUNK_BYTES)
        finally:
            self.body.close()

    def close(self) -> None:
        """Close the connection without reading the content."""
        self.body.close()


def client(service: str) -> Any:
    """Return a boto3 client with the credentials of the Airflow connection and short timeouts."""
    configured = AwsBaseHook(client_type=service).conn_config.botocore_config
    return AwsBaseHook(client_type=service, config=PATIENCE.merge(configured or Config())).get_conn()


def open_page(project: str, path: str) -> StoredPage:
    """Open the object of a page or an image.

    :param path: The key below the prefix of the project.
    :raises PageError: If it does not exist, is too large, or can't be read.
    """
    key = f"{project}/{path}"
    try:
        s3, bucket = stack_bucket(int(time.monotonic() // KEPT_SECONDS))
        found = s3.get_object(Bucket=bucket, Key=key)
    except AWS_ERRORS as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] in MISSING:
            raise PageError(HTTPStatus.NOT_FOUND, _gone(project)) from error
        stack_bucket.cache_clear()
        log.warning("The page %s can't be read: %s", key, error)
        raise of_aws(error) from error
    page = StoredPage(found["ContentLength"], found["ETag"], found["Body"])
    if page.size > MAX_BYTES:
        page.close()
        raise PageError(
            HTTPStatus.BAD_GATEWAY,
            f"The page has {page.size:,} bytes, but Airflow shows at most {MAX_BYTES:,}. Copy it with "
            f"`aws s3 cp s3://{bucket}/{key} .` and open the copy.",
        )
    return page


@functools.lru_cache(maxsize=1)
def stack_bucket(minute: int) -> tuple[Any, str]:
    """Return an S3 client and the bucket of the stack, cached for a minute, since a page may have many images."""
    return client("s3"), read_infrastructure(client("cloudformation")).bucket


def _gone(project: str) -> str:
    forgotten = (
        "Local AWS was restarted, which deletes everything in it, or a teardown"
        if is_local()
        else "A teardown"
    )
    return (
        f"This report no longer exists. {forgotten} deleted it with the data of the project. Run "
        f"{project}.train_and_deploy again to write new reports."
    )
