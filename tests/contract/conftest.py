"""Contract tests: what AWS answers, row by row of an oracle made from public evidence.

The tests use boto3 alone, so that the same tests can run against local AWS and against an AWS account. Each test
names its row with the marker ``row``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws
from tests.contract.sagemaker import SageMakerThings


@pytest.fixture
def client(local_aws: LocalAws) -> Callable[[str], Any]:
    """Make boto3 clients that try each call once."""
    return local_aws.client


@pytest.fixture
def unique() -> str:
    """Return a name that no other test uses."""
    return f"contract-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def refused() -> Callable[..., Any]:
    """See that a block ends in an error with a code, a text that contains another, and an HTTP status."""

    @contextmanager
    def refusal(code: str, text: str = "", status: int = 400) -> Iterator[pytest.ExceptionInfo[ClientError]]:
        with pytest.raises(ClientError) as caught:
            yield caught
        error = caught.value.response
        assert error["Error"]["Code"] == code
        assert text in error["Error"].get("Message", "")
        assert error["ResponseMetadata"]["HTTPStatusCode"] == status

    return refusal


@pytest.fixture(scope="session")
def things(local_aws: LocalAws, eventually: Callable[..., Any]) -> Iterator[SageMakerThings]:
    """What SageMaker's rows need that takes a while: jobs that have ended, and an endpoint in service."""
    things = SageMakerThings(local_aws.client, eventually)
    things.make()
    yield things
    things.remove()
