"""The status of an instance and its command, from the responses of AWS."""

from __future__ import annotations

from typing import Any

import pytest
from amazon_ml.instance_status import InstanceStatus, check_instance


def seen(command_id: str | None, **answers: dict[str, Any]) -> tuple[InstanceStatus, list[str]]:
    """Return the status for these responses of AWS, and the operations that were called."""
    calls, asked = check_instance("i-1", command_id), []
    try:
        _, operation, _ = next(calls)
        while True:
            asked.append(operation)
            _, operation, _ = calls.send(answers[operation])
    except StopIteration as end:
        return end.value, asked


def instance(state: str, **more: Any) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [{"State": {"Name": state}, **more}]}]}


def command(status: str) -> dict[str, Any]:
    return {"CommandInvocations": [{"Status": status}]}


NOBODY: dict[str, Any] = {"Reservations": []}
SPOT = {"StateReason": {"Message": "Server.SpotInstanceTermination: Spot instance termination"}}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(
            {"describe_instances": NOBODY}, InstanceStatus("waiting", "launched"), id="not listed yet"
        ),
        pytest.param(
            {"describe_instances": instance("pending")},
            InstanceStatus("waiting", "pending, not ready for commands yet"),
            id="starting",
        ),
        pytest.param(
            {
                "describe_instances": instance("running"),
                "describe_instance_information": {"InstanceInformationList": []},
            },
            InstanceStatus("waiting", "running, not ready for commands yet"),
            id="booting",
        ),
        pytest.param(
            {
                "describe_instances": instance("running"),
                "describe_instance_information": {"InstanceInformationList": [{"PingStatus": "Online"}]},
            },
            InstanceStatus("ready", "ready for commands"),
            id="ready",
        ),
        pytest.param(
            {"describe_instances": instance("shutting-down", StateTransitionReason="User initiated")},
            InstanceStatus("lost", "shutting-down (User initiated)"),
            id="terminated by a user",
        ),
    ],
)
def test_status_of_an_instance_without_a_command(answers: dict[str, Any], expected: InstanceStatus) -> None:
    assert seen(None, **answers)[0] == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(
            {
                "list_command_invocations": {"CommandInvocations": []},
                "describe_instances": instance("running"),
            },
            InstanceStatus("waiting", "running, not ready for commands yet"),
            id="not delivered",
        ),
        pytest.param(
            {"list_command_invocations": command("InProgress"), "describe_instances": instance("running")},
            InstanceStatus("waiting", "running, command InProgress"),
            id="running",
        ),
        pytest.param(
            {"list_command_invocations": command("Success")},
            InstanceStatus("ended", "command Success"),
            id="done",
        ),
        pytest.param(
            {"list_command_invocations": command("TimedOut")},
            InstanceStatus("ended", "command TimedOut"),
            id="too long",
        ),
        pytest.param(
            {
                "list_command_invocations": command("InProgress"),
                "describe_instances": instance("terminated", **SPOT),
            },
            InstanceStatus("lost", "terminated (Server.SpotInstanceTermination: Spot instance termination)"),
            id="spot interruption",
        ),
        pytest.param(
            {"list_command_invocations": command("InProgress"), "describe_instances": NOBODY},
            InstanceStatus("lost", "no longer exists"),
            id="terminated long ago",
        ),
    ],
)
def test_status_of_a_command(answers: dict[str, Any], expected: InstanceStatus) -> None:
    assert seen("c-1", **answers)[0] == expected


def test_a_command_that_has_ended_needs_one_call() -> None:
    assert seen("c-1", list_command_invocations=command("Failed"))[1] == ["list_command_invocations"]
