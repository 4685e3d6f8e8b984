"""The retention of a project's log groups, on local AWS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from botocore.exceptions import ClientError

from include.pipeline import log_retention
from include.pipeline.settings import Logs, Project, RetentionDays


@pytest.fixture
def logs(local_aws: Any) -> Any:
    return local_aws.client("logs")


@pytest.fixture
def group(logs: Any) -> Iterator[str]:
    """The name of a log group that does not exist yet."""
    name = f"/aws/lambda/{uuid.uuid4().hex}"
    yield name
    if name in found(logs, name):
        logs.delete_log_group(logGroupName=name)


def project(days: Any) -> Project:
    return Project(name="birds", description="Tells birds apart.", logs=Logs(retention_days=days))


def found(logs: Any, name: str) -> dict[str, int | None]:
    """Return the groups of a name with their retention."""
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return {each["logGroupName"]: each.get("retentionInDays") for each in groups}


def test_a_group_is_created_with_a_retention(logs: Any, group: str) -> None:
    log_retention.limit(project(90), group, logs)
    assert found(logs, group) == {group: 90}


def test_an_existing_group_keeps_its_events(logs: Any, group: str) -> None:
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    for _ in range(2):
        log_retention.limit(project(90), group, logs)
    assert found(logs, group) == {group: 90}
    assert len(logs.describe_log_streams(logGroupName=group)["logStreams"]) == 1


def test_a_changed_retention_is_set_again(logs: Any, group: str) -> None:
    log_retention.limit(project(90), group, logs)
    log_retention.limit(project(7), group, logs)
    assert found(logs, group) == {group: 7}


def test_without_a_retention_an_earlier_one_is_removed(logs: Any, group: str) -> None:
    log_retention.limit(project(90), group, logs)
    log_retention.limit(project(None), group, logs)
    assert found(logs, group) == {group: None}


def test_without_a_retention_no_group_is_created(logs: Any, group: str) -> None:
    log_retention.limit(project(None), group, logs)
    assert found(logs, group) == {}


def test_an_error_of_cloudwatch_logs_is_not_hidden(logs: Any) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        log_retention.limit(project(90), "x" * 513, logs)


@pytest.mark.parametrize("days", get_args(RetentionDays))
def test_each_retention_that_a_project_file_allows_is_valid_for_aws(logs: Any, group: str, days: int) -> None:
    log_retention.limit(project(days), group, logs)
    assert found(logs, group) == {group: days}
