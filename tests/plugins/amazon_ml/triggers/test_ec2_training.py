"""Waiting for an EC2 instance in the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from amazon_ml.triggers.ec2_training import EC2CommandTrigger
from botocore.exceptions import ClientError, ConnectionClosedError


def waiting(**kwargs: Any) -> EC2CommandTrigger:
    arguments = {"instance_id": "i-0123", "poll_interval": 0.1, "deadline": time.time() + 600}
    return EC2CommandTrigger(**(arguments | kwargs))


def test_serialization() -> None:
    trigger = waiting(command_id="c-1", log_group="/birds", region_name="eu-west-1")
    path, arguments = trigger.serialize()
    assert path == "amazon_ml.triggers.ec2_training.EC2CommandTrigger"
    stored = Trigger(classpath=path, kwargs=arguments).kwargs
    assert EC2CommandTrigger(**stored).serialize() == trigger.serialize()


@pytest.mark.usefixtures("aws")
def test_deadline_ends_the_wait() -> None:
    event = asyncio.run(waiting(deadline=time.time() + 0.3).wait())
    assert event == {"instance_id": "i-0123", "command_id": None, "status": "timeout", "message": "launched"}


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        pytest.param(ConnectionClosedError(endpoint_url="http://aws"), "timeout", id="transient"),
        pytest.param(
            ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DescribeInstances"),
            "error",
            id="permanent",
        ),
    ],
)
def test_transient_errors_are_retried_and_others_are_reported(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, status: str
) -> None:
    trigger = waiting()
    asked = []

    async def check(clients: dict[str, Any]) -> Any:
        asked.append(clients)
        if len(asked) == 2:
            trigger.deadline = time.time()
        raise trouble

    monkeypatch.setattr(trigger, "_check", check)
    event = asyncio.run(trigger.wait())
    assert event["status"] == status
    assert len(asked) == (2 if status == "timeout" else 1)
    assert ("UnauthorizedOperation" in event["message"]) == (status == "error")
