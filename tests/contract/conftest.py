"""Contract tests: what AWS answers, row by row of an oracle made from public evidence.

The tests use boto3 alone, so that the same tests can run against local AWS and against an AWS account. Each test
names its row with the marker ``row``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import LocalAws


@pytest.fixture
def client(local_aws: LocalAws) -> Callable[[str], Any]:
    """Make boto3 clients that try each call once."""
    return local_aws.client


@pytest.fixture
def unique() -> str:
    """Return a name that no other test uses."""
    return f"contract-{uuid.uuid4().hex[:12]}"
