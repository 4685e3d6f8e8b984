"""Reading the new lines of a job's log from CloudWatch Logs in local AWS."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from amazon_ml import job_logs
from amazon_ml.job_logs import JobLogReader
from botocore.exceptions import ClientError

from tests.plugins.amazon_ml.asynchronous import Asynchronous

log = logging.getLogger("job")


class Calls:
    """A client that records the called operations."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.made: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        self.made.append(operation)
        return getattr(self.client, operation)


class Group:
    """A log group with the streams of a job."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.name = f"/jobs/{uuid.uuid4().hex[:8]}"

    def write(self, stream: str, *lines: str) -> None:
        for create, names in (
            (self.client.create_log_group, {"logGroupName": self.name}),
            (self.client.create_log_stream, {"logGroupName": self.name, "logStreamName": stream}),
        ):
            try:
                create(**names)
            except self.client.exceptions.ResourceAlreadyExistsException:
                continue
        now = int(time.time() * 1000)
        self.client.put_log_events(
            logGroupName=self.name,
            logStreamName=stream,
            logEvents=[{"timestamp": now, "message": line} for line in lines],
        )


@pytest.fixture
def group(aws: Any) -> Group:
    return Group(aws.client("logs"))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Return a function that returns the lines logged since its last call."""
    caplog.set_level(logging.INFO, logger="job")

    def taken() -> list[str]:
        found = [record.message for record in caplog.records if record.name == "job"]
        caplog.clear()
        return found

    return taken


def read(logs: JobLogReader, client: Any, *, rest: bool = False) -> None:
    asyncio.run(logs.read(Asynchronous(client), rest=rest))


def reader(group: Group) -> JobLogReader:
    return JobLogReader(log, log_group=group.name, log_stream_prefix="birds/")


def test_each_line_is_logged_once(group: Group, lines: Any) -> None:
    logs = reader(group)
    group.write("birds/algo-1-17", "one", "two\n")
    read(logs, group.client)
    assert lines() == ["algo-1-17: one", "algo-1-17: two"]
    read(logs, group.client)
    assert lines() == []
    group.write("birds/algo-1-17", "three")
    read(logs, group.client)
    assert lines() == ["algo-1-17: three"]


def test_asynchronous_client_logs_the_same_lines(group: Group, lines: Any) -> None:
    logs = reader(group)
    group.write("birds/algo-1-17", "one")

    async def read_twice() -> None:
        async with await AwsLogsHook(aws_conn_id=None).get_async_conn() as client:
            await logs.read(client)
            await logs.read(client, rest=True)

    asyncio.run(read_twice())
    assert lines() == ["algo-1-17: one"]


def test_missing_log_is_retried_at_the_next_poll(group: Group, lines: Any) -> None:
    logs = reader(group)
    read(logs, group.client)
    assert lines() == []
    group.write("cats/algo-1-17", "another job's")
    read(logs, group.client)
    assert lines() == []
    group.write("birds/algo-1-17", "one")
    read(logs, group.client)
    assert lines() == ["algo-1-17: one"]


def test_only_streams_of_the_job_are_read(group: Group, lines: Any) -> None:
    group.write("birds/algo-1-17", "mine")
    group.write("birds-2/algo-1-18", "the next attempt's")
    read(reader(group), group.client)
    assert lines() == ["algo-1-17: mine"]


def test_number_of_calls_per_poll_is_limited(group: Group, lines: Any) -> None:
    for instance in range(9):
        group.write(f"birds/algo-{instance}-17", "here")
    logs, client = reader(group), Calls(group.client)
    seen: list[str] = []
    for _ in range(7):
        client.made.clear()
        read(logs, client)
        assert len(client.made) <= job_logs.CALLS_PER_POLL
        seen += lines()
    assert sorted(seen) == [f"algo-{instance}-17: here" for instance in range(9)]


def test_remaining_lines_are_read_at_the_end(group: Group, lines: Any) -> None:
    for instance in range(9):
        group.write(f"birds/algo-{instance}-17", "here")
    read(reader(group), group.client, rest=True)
    assert len(lines()) == 9


def test_log_that_is_too_long_is_referenced(
    group: Group, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_logs, "CALLS_AT_THE_END", 2)
    group.write("birds/algo-1-17", "one")
    read(reader(group), group.client, rest=True)
    assert lines() == ["algo-1-17: one", f"The rest of the log is in {group.name}."]


class Pages:
    """CloudWatch Logs with one stream on each page of the list, and one event on each page of a stream."""

    def describe_log_streams(self, **arguments: Any) -> dict[str, Any]:
        page = int(arguments.get("nextToken", 1))
        more = {"nextToken": str(page + 1)} if page < 3 else {}
        return {"logStreams": [{"logStreamName": f"birds/algo-{page}"}], **more}

    def get_log_events(self, **arguments: Any) -> dict[str, Any]:
        event = int(arguments.get("nextToken", 0))
        events = [{"message": f"line {event}"}] if event < 2 else []
        return {"events": events, "nextForwardToken": str(min(event + 1, 2))}


def test_all_pages_are_read(lines: Any) -> None:
    logs = JobLogReader(log, log_group="group", log_stream_prefix="birds/")
    read(logs, Pages(), rest=True)
    assert sorted(lines()) == sorted(f"algo-{stream}: line {n}" for stream in (1, 2, 3) for n in (0, 1))


class Refusing:
    """CloudWatch Logs that returns an error."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.asked = 0

    def describe_log_streams(self, **_: Any) -> None:
        self.asked += 1
        raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "DescribeLogStreams")


def test_missing_permission_is_logged_once_and_reading_stops(lines: Any) -> None:
    logs, client = JobLogReader(log, log_group="group", log_stream_prefix="birds/"), Refusing("AccessDenied")
    for _ in range(3):
        read(logs, client)
    (warning,) = lines()
    assert warning.startswith("The job's log in group can't be read: ")
    assert client.asked == 1


def test_throttled_call_is_retried_at_the_next_poll(lines: Any) -> None:
    logs = JobLogReader(log, log_group="group", log_stream_prefix="birds/")
    client = Refusing("ThrottlingException")
    for _ in range(3):
        read(logs, client)
    assert lines() == []
    assert client.asked == 3
