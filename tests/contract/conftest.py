"""Contract tests: what AWS answers, row by row of an oracle made from public evidence.

The tests use boto3 alone, so that the same tests run against local AWS and, by ``make verify-aws``,
against an AWS account. Each test names its row with the marker ``row``. What its fixtures cost in an account is in
``include/verify_aws/costs.py``; other costs are told by the markers ``makes`` and ``provisions``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.verify_aws.guard import PREFIX
from tests.contract import setting as settings
from tests.contract.sagemaker import SageMakerThings
from tests.contract.setting import Setting


@pytest.fixture(scope="session")
def aws(request: pytest.FixtureRequest) -> Any:
    """Local AWS, or the account that the plugin asks; its ``client`` makes boto3 clients."""
    if request.config.getoption("account", False):
        from include.verify_aws.plugin import ACCOUNT

        return request.config.stash[ACCOUNT]
    return request.getfixturevalue("local_aws")


@pytest.fixture(scope="session")
def setting(request: pytest.FixtureRequest, aws: Any) -> Iterator[Setting]:
    """A bucket with a model, and a role and images that SageMaker takes."""
    make = settings.in_account if request.config.getoption("account", False) else settings.local
    with make(aws.client) as made:
        yield made


@pytest.fixture(scope="session")
def eventually(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Wait until a function's answer is true, and return it; in an account it takes longer."""
    seconds = 3600.0 if request.config.getoption("account", False) else settings.PATIENCE
    return settings.waiting(seconds)


@pytest.fixture
def client(aws: Any) -> Callable[[str], Any]:
    """Make boto3 clients that, on local AWS, try each call once."""
    return aws.client  # type: ignore[no-any-return]


@pytest.fixture
def unique() -> str:
    """Return a name that no other test uses."""
    return f"{PREFIX}-{uuid.uuid4().hex[:12]}"


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
def things(aws: Any, setting: Setting, eventually: Callable[..., Any]) -> Iterator[SageMakerThings]:
    """What SageMaker's rows need that takes a while: jobs that have ended, and an endpoint in service."""
    things = SageMakerThings(aws.client, eventually, setting)
    things.make()
    yield things
    things.remove()
