"""Reading what is new in a job's log, from CloudWatch Logs in local AWS."""

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

log = logging.getLogger("job")


class Calls:
    """A client that notes which operations are called."""

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
    """Returns the lines passed on since it was last asked."""
    caplog.set_level(logging.INFO, logger="job")

    def taken() -> list[str]:
        found = [record.message for record in caplog.records if record.name == "job"]
        caplog.clear()
        return found

    return taken


def reader(group: Group) -> JobLogReader:
    return JobLogReader(log, log_group=group.name, log_stream_prefix="birds/")


def test_each_line_is_passed_on_once(group: Group, lines: Any) -> None:
    logs = reader(group)
    group.write("birds/algo-1-17", "one", "two\n")
    logs.read(group.client)
    assert lines() == ["algo-1-17: one", "algo-1-17: two"]
    logs.read(group.client)
    assert lines() == []
    group.write("birds/algo-1-17", "three")
    logs.read(group.client)
    assert lines() == ["algo-1-17: three"]


def test_asynchronously_it_is_the_same(group: Group, lines: Any) -> None:
    logs = reader(group)
    group.write("birds/algo-1-17", "one")

    async def read_twice() -> None:
        async with await AwsLogsHook(aws_conn_id=None).get_async_conn() as client:
            await logs.read_async(client)
            await logs.read_async(client, rest=True)

    asyncio.run(read_twice())
    assert lines() == ["algo-1-17: one"]


def test_a_log_that_is_not_there_yet_is_waited_for(group: Group, lines: Any) -> None:
    logs = reader(group)
    logs.read(group.client)
    assert lines() == []
    group.write("cats/algo-1-17", "another job's")
    logs.read(group.client)
    assert lines() == []
    group.write("birds/algo-1-17", "one")
    logs.read(group.client)
    assert lines() == ["algo-1-17: one"]


def test_only_the_jobs_own_streams_are_read(group: Group, lines: Any) -> None:
    group.write("birds/algo-1-17", "mine")
    group.write("birds-2/algo-1-18", "the next attempt's")
    reader(group).read(group.client)
    assert lines() == ["algo-1-17: mine"]


def test_a_look_takes_a_few_calls_whatever_the_number_of_streams(group: Group, lines: Any) -> None:
    for instance in range(9):
        group.write(f"birds/algo-{instance}-17", "here")
    logs, client = reader(group), Calls(group.client)
    seen: list[str] = []
    for _ in range(7):
        client.made.clear()
        logs.read(client)
        assert len(client.made) <= job_logs.CALLS_PER_POLL
        seen += lines()
    assert sorted(seen) == [f"algo-{instance}-17: here" for instance in range(9)]


def test_in_the_end_all_that_is_left_is_read(group: Group, lines: Any) -> None:
    for instance in range(9):
        group.write(f"birds/algo-{instance}-17", "here")
    reader(group).read(group.client, rest=True)
    assert len(lines()) == 9


def test_a_log_too_long_for_the_end_says_where_the_rest_is(
    group: Group, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_logs, "CALLS_AT_THE_END", 2)
    group.write("birds/algo-1-17", "one")
    reader(group).read(group.client, rest=True)
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


def test_pages_are_followed(lines: Any) -> None:
    logs = JobLogReader(log, log_group="group", log_stream_prefix="birds/")
    logs.read(Pages(), rest=True)
    assert sorted(lines()) == sorted(f"algo-{stream}: line {n}" for stream in (1, 2, 3) for n in (0, 1))


class Refusing:
    """CloudWatch Logs that answers with an error."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.asked = 0

    def describe_log_streams(self, **_: Any) -> None:
        self.asked += 1
        raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "DescribeLogStreams")


def test_without_permission_it_warns_once_and_asks_no_more(lines: Any) -> None:
    logs, client = JobLogReader(log, log_group="group", log_stream_prefix="birds/"), Refusing("AccessDenied")
    for _ in range(3):
        logs.read(client)
    (warning,) = lines()
    assert warning.startswith("The job's log in group can't be read: ")
    assert client.asked == 1


def test_throttled_it_tries_again_at_the_next_look(lines: Any) -> None:
    logs = JobLogReader(log, log_group="group", log_stream_prefix="birds/")
    client = Refusing("ThrottlingException")
    for _ in range(3):
        logs.read(client)
    assert lines() == []
    assert client.asked == 3
