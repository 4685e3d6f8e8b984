"""The concurrent executions of Lambda that a project needs, in an account that has few."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from include.pipeline import concurrency_quota
from include.pipeline.concurrency_quota import ConcurrencyQuotaError
from include.pipeline.settings import Function, Project


@pytest.fixture
def client() -> Any:
    return boto3.client("lambda", region_name="eu-central-1")


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def project(**function: Any) -> Project:
    return Project(name="birds", description="x", function=Function(**function))


def account(stub: Stubber, limit: int, unreserved: int) -> None:
    limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}
    stub.add_response("get_account_settings", {"AccountLimit": limits})


def no_function(stub: Stubber) -> None:
    stub.add_client_error("get_function_concurrency", "ResourceNotFoundException", http_status_code=404)


@pytest.mark.usefixtures("stub")
def test_a_project_without_concurrency_calls_nothing(client: Any) -> None:
    concurrency_quota.check(project(), client)


@pytest.mark.parametrize(
    ("function", "key", "none"),
    [
        ({"provisioned_concurrency": 1}, "provisioned_concurrency", "0"),
        ({"provisioned_concurrency": 1, "reserved_concurrency": 1}, "reserved_concurrency", "null"),
    ],
)
def test_a_new_account_has_no_concurrency_to_reserve(
    client: Any, stub: Stubber, function: dict[str, int], key: str, none: str
) -> None:
    no_function(stub)
    account(stub, 10, 10)
    with pytest.raises(
        ConcurrencyQuotaError,
        match=rf"^function\.{key} is 1, but 10 of the 10 .* in eu-central-1 are unreserved.* to {none}, or request",
    ):
        concurrency_quota.check(project(**function), client)


def test_an_account_with_enough_concurrency_passes(client: Any, stub: Stubber) -> None:
    no_function(stub)
    account(stub, 1000, 1000)
    concurrency_quota.check(project(provisioned_concurrency=5), client)


def test_provisioned_concurrency_of_the_function_counts(client: Any, stub: Stubber) -> None:
    stub.add_response("get_function_concurrency", {})
    config = {"RequestedProvisionedConcurrentExecutions": 2}
    stub.add_response("list_provisioned_concurrency_configs", {"ProvisionedConcurrencyConfigs": [config]})
    concurrency_quota.check(project(provisioned_concurrency=2), client)


def test_reserved_concurrency_of_the_function_counts(client: Any, stub: Stubber) -> None:
    stub.add_response("get_function_concurrency", {"ReservedConcurrentExecutions": 4})
    account(stub, 20, 11)
    with pytest.raises(ConcurrencyQuotaError, match=r"but 11 of the .* are unreserved"):
        concurrency_quota.check(project(reserved_concurrency=6), client)


def test_an_unreadable_quota_is_reported_and_ignored(client: Any, stub: Stubber) -> None:
    no_function(stub)
    stub.add_client_error("get_account_settings", "AccessDeniedException", http_status_code=403)
    said: list[str] = []
    concurrency_quota.check(project(provisioned_concurrency=1), client, said.append)
    assert "is not checked" in said[0]
    assert "stack.yaml again" in said[0]
