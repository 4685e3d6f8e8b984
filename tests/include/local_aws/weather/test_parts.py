"""Test the parts of the weather without a server: how kinds are named, who is throttled, and the tagging index."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from moto.core.resource_tagging import TaggedResource
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from include.local_aws.moto_patches import tagging
from include.local_aws.weather import kinds
from include.local_aws.weather.answers import without_instances
from include.local_aws.weather.service import Weather
from include.local_aws.weather.tag_index import TagIndex
from include.local_aws.weather.throttling import Throttle

REPOSITORY = Path(__file__).parents[4]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_kinds_are_named_one_by_one_or_all_at_once() -> None:
    assert kinds.parse("") == frozenset()
    assert kinds.parse("tags, roles") == {"tags", "roles"}
    assert kinds.parse("all") == kinds.KINDS.keys()


def test_a_server_does_not_start_with_an_unknown_kind(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "include.local_aws",
        "--state-dir",
        str(tmp_path),
        "--weather",
        "tags,rain",
    ]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "rain is no kind of weather. Choose from all, configs, ec2, pages, roles, tags" in ended.stderr


def test_each_operation_is_throttled_by_its_own_count() -> None:
    throttle = Throttle()

    def refused(operation: str, calls: int) -> list[int]:
        return [number for number in range(calls) if throttle.refusal("lambda", operation)]

    assert refused("GetFunction", 32) == [0, 10, 11, 12, 20, 30, 31]
    assert refused("GetAlias", 5) == [0]
    assert refused("Invoke", 32) == []
    assert [number for number in range(120) if throttle.refusal("s3", "PutObject")] == [0, 50, 100]
    assert throttle.refusal("sagemaker-runtime", "InvokeEndpoint") is None


@pytest.fixture
def existing(monkeypatch: pytest.MonkeyPatch) -> list[TaggedResource]:
    """Return the list of what exists, for the test to change."""
    there: list[TaggedResource] = []
    monkeypatch.setattr(tagging, "list_by_moto", lambda _: iter(there))
    return there


def test_the_index_lists_what_there_was(existing: list[TaggedResource]) -> None:
    clock, seen = Clock(), Counter[str]()
    index = TagIndex("us-east-1", 8, clock, seen)

    def listed(**filters: Any) -> list[str]:
        return [resource.arn for resource in index.find(**filters)]

    index.look()
    existing.append(TaggedResource("arn:model", {"project": "birds"}, "sagemaker:model"))
    clock.now += 2
    index.look()
    clock.now += 7.9
    assert (listed(), seen) == ([], {"tags/new": 1, "tags/gone": 0})
    clock.now += 0.2
    assert listed(resource_type_filters=["sagemaker"]) == ["arn:model"]
    assert listed(tag_filters=[{"Key": "project", "Values": ["dogs"]}]) == []
    assert listed(resource_arn_list=["arn:endpoint"]) == []
    existing[0].tags.clear()
    existing.clear()
    index.look()
    assert listed(tag_filters=[{"Key": "project", "Values": ["birds"]}]) == ["arn:model"]
    assert seen == {"tags/new": 1, "tags/gone": 1}
    clock.now += 8
    assert listed() == []


def test_an_instance_is_known_some_seconds_after_its_launch() -> None:
    answer = (
        b'<RunInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><instancesSet><item>'
        b"<instanceId>i-1</instanceId></item></instancesSet></RunInstancesResponse>"
    )
    clock = Clock()
    weather = Weather(Response(answer), "us-east-1", frozenset({"ec2"}), 5, clock)
    client = Client(weather)

    def call(body: str) -> int:
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return client.post("/", data=body, headers=headers).status_code

    assert call("Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&ImageId=ami-1") == 200
    terminate = "Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1"
    clock.now += 4.9
    assert call(terminate) == 400
    clock.now += 0.2
    assert call(terminate) == 200
    assert weather.seen == {"ec2/instance": 1}


def test_only_new_instances_are_left_out_of_an_answer() -> None:
    item = "<item><instancesSet>{}</instancesSet></item>"
    instance = "<item><instanceId>{}</instanceId></item>".format
    body = (
        '<DescribeInstancesResponse xmlns="urn:ec2"><reservationSet>'
        + item.format(instance("i-1") + instance("i-2"))
        + item.format(instance("i-3"))
        + "</reservationSet></DescribeInstancesResponse>"
    )
    left = without_instances(body.encode(), {"i-1", "i-3"}).decode()
    assert "i-2" in left
    assert "i-1" not in left
    assert "i-3" not in left
    assert left.count("<instancesSet>") == 1


@pytest.mark.parametrize("operation", ["CreateEndpoint", "CreateModel", "ListModels"])
@pytest.mark.parametrize("body", [b"{no JSON", b"{}", b"[]", b"\xff"])
def test_a_call_that_is_malformed_is_left_to_the_service(operation: str, body: bytes) -> None:
    @Request.application
    def service(request: Request) -> Response:
        return Response(b"read: " + request.get_data(), 400)

    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sagemaker/aws4_request",
        "X-Amz-Target": f"SageMaker.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
    }
    weather = Weather(service, "us-east-1", frozenset(kinds.KINDS) - {"throttling", "tags"}, 5)
    answer = Client(weather).post("/", data=body, headers=headers)
    assert (answer.data, answer.status_code) == (b"read: " + body, 400)
    assert not weather.seen
