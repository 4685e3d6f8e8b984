"""CloudWatch Logs keeps the retention of a log group, and takes only those that AWS has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

GROUP = "/retention/test"


@pytest.fixture
def logs(local_aws: Any) -> Iterator[Any]:
    client = local_aws.client("logs")
    client.create_log_group(logGroupName=GROUP)
    yield client
    client.delete_log_group(logGroupName=GROUP)


def retention(logs: Any) -> int | None:
    (group,) = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    return group.get("retentionInDays")  # type: ignore[no-any-return]


@pytest.mark.parametrize("days", [-1, 0, 2, 91, 3654])
def test_a_retention_that_aws_does_not_have_is_refused(logs: Any, days: int) -> None:
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=30)
    with pytest.raises(ClientError) as refusal:
        logs.put_retention_policy(logGroupName=GROUP, retentionInDays=days)
    error = refusal.value.response["Error"]
    assert error["Code"] == "InvalidParameterException"
    assert f"Value '{days}' at 'retentionInDays' failed to satisfy constraint" in error["Message"]
    assert retention(logs) == 30


def test_a_retention_that_is_deleted_is_gone(logs: Any) -> None:
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=30)
    logs.delete_retention_policy(logGroupName=GROUP)
    assert retention(logs) is None


@pytest.mark.parametrize("operation", ["put_retention_policy", "delete_retention_policy"])
def test_an_unknown_group_has_no_retention(logs: Any, operation: str) -> None:
    days = {"retentionInDays": 30} if operation.startswith("put") else {}
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        getattr(logs, operation)(logGroupName=f"{GROUP}/unknown", **days)
